//! Waits for the end of a flow, wherever it runs.

use std::sync::Arc;

use cairn::history::History;
use cairn::store::view::View;
use cairn::{FlowId, Identity, Report};
use tokio::time::Instant;

use crate::app::App;
use crate::error::ApiError;
use crate::follow::News;

/// Waits until a flow has ended or was interrupted, and returns its report; `None` when that takes longer.
pub(crate) async fn for_end(
    app: &Arc<App>,
    flow: FlowId,
    until: Instant,
) -> Result<Option<Report>, ApiError> {
    let mut watch = app.follower.watch(flow).await?;
    let mut state = watch.state;
    while !state.is_at_rest() {
        match tokio::time::timeout_at(until, watch.news.recv()).await {
            Ok(Some(News::Entries { state: new, .. })) => state = new,
            Ok(Some(News::Gone)) => break,
            // Too slow: what is on disk decides.
            Ok(None) => watch = app.follower.watch(flow).await?,
            Err(_) => return Ok(None),
        }
    }
    let read = app.readers.read(Identity::default(), move |view| {
        Ok(report(view, flow)?.map(|(report, _)| report))
    });
    read.await
}

/// Reads the report of a flow with its project; that of a pruned flow, of which only a key's short report is left, has none.
pub(crate) fn report(
    view: &View<'_>,
    flow: FlowId,
) -> Result<Option<(Report, Option<String>)>, ApiError> {
    let journal = view.journal(flow)?;
    if let Some(history) = History::fold(&journal, view.domains()) {
        let project = history.requester.project_id.clone();
        return Ok(Some((Report::new(flow, &history), Some(project))));
    }
    Ok(view.kept_report(flow)?.map(|report| (report, None)))
}
