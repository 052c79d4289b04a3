//! The host's interface to a database that runs portable SQL: plans, requests, stuck flows.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use cairn_effects::rows::Cell;
use cairn_model::clock::Timestamp;
use cairn_model::crash::{CrashPoint, reach};
use cairn_model::error::TaskError;
use cairn_model::id::{FlowId, Identity};
use cairn_model::idempotency::Key;
use cairn_model::value::{Digest, Value};

use super::view::Pruned;
use super::{components, facts, on_disk, sleepers};
use crate::StoreError;
use crate::batched::Batched;
use crate::deliver::Outbox;
use crate::host::{Component, Due, FlowOnDisk, HostStore, Operators, Read, Watch, Work};
use crate::observer::Observer;
use crate::operation::{Asked, OperationRequest};
use crate::shared::Shared;
use crate::sql::{Columns, Outlook, Sql, SqlBackend, SqlError};

/// How long answers are kept for the process that made the request.
const KEPT: Duration = Duration::from_secs(600);

impl<B: SqlBackend> HostStore for Batched<B> {
    fn commits(&self) -> u64 {
        Self::commits(self)
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.reason()
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.admin(&Identity::default(), |admin| {
            let now = admin.now().to_string();
            let fact = [facts::PROBED.into(), now.as_str().into()];
            admin.execute(facts::SET, &fact).map(drop)
        })?;
        self.trouble.is_over();
        Ok(())
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        Self::observe(self, observer);
    }

    fn register(&self) -> Result<(), StoreError> {
        self.write(|writer| writer.register())
    }

    fn take_over(&self, stuck_too: bool) -> Result<Vec<FlowId>, StoreError> {
        Self::take_over(self, stuck_too)
    }

    fn set_aside(&self, flow: FlowId, reason: &str) -> Result<(), StoreError> {
        self.admin(&Identity::default(), |admin| {
            let statement = "UPDATE flows SET stuck = $1 WHERE id = $2";
            admin.execute(statement, &[reason.into(), flow.into()])
        })?;
        reach(CrashPoint::FlowSetAside);
        Ok(())
    }

    fn on_disk(&self, flow: FlowId) -> Result<FlowOnDisk, StoreError> {
        self.read(&Identity::default(), |view| {
            on_disk::on_disk(view.sql(), flow)
        })
    }

    fn repeat_of(&self, requester: &Identity, key: &Key) -> Result<Option<FlowId>, StoreError> {
        self.read(requester, |view| view.repeat_of(key))
    }

    fn keep_plan(
        &self,
        digest: Digest,
        body: &str,
        components: &[Component<'_>],
    ) -> Result<(), StoreError> {
        let nobody = &Identity::default();
        let (is_stored, missing) = self.read(nobody, |view| {
            let mut missing = Vec::new();
            for component in components {
                if !components::is_sound(view.sql(), component.digest)? {
                    missing.push(component);
                }
            }
            Ok((view.has_plan(digest)?, missing))
        })?;
        if is_stored && missing.is_empty() {
            return Ok(());
        }
        self.admin(nobody, |admin| {
            for component in missing {
                admin.write_component(component)?;
                reach(CrashPoint::ComponentWritten);
            }
            let statement =
                "INSERT INTO plans (digest, body) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
            admin.execute(
                statement,
                &[digest.to_string().as_str().into(), body.into()],
            )
        })?;
        Ok(())
    }

    fn plan(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        self.read(&Identity::default(), |view| view.plan(digest))
    }

    fn component(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.read(&Identity::default(), |view| {
            components::read(view.sql(), digest)
        })
    }

    fn ask(&self, flow: FlowId, asked: &Asked) -> Result<i64, StoreError> {
        let operation = json(asked)?;
        self.admin(&Identity::default(), |admin| {
            let now = admin.now();
            let old = "DELETE FROM requests WHERE answered_at < $1";
            admin.execute(old, &[now.before(KEPT).into()])?;
            let statement =
                "INSERT INTO requests (flow, operation, created_at) VALUES ($1, $2, $3) RETURNING id";
            let parameters = [flow.into(), operation.as_str().into(), now.into()];
            let added = admin.returning(statement, &parameters)?;
            match added.first() {
                Some(row) => Ok(Columns(row).int(0)?),
                None => Err(StoreError::Database("a request got no number".to_owned())),
            }
        })
    }

    fn answer(&self, request: i64, answer: &Value) -> Result<(), StoreError> {
        reach(CrashPoint::RequestServed);
        let answer = answer.to_string();
        self.admin(&Identity::default(), |admin| {
            let statement = "UPDATE requests SET answer = $1, answered_at = $2 WHERE id = $3";
            let parameters = [answer.as_str().into(), admin.now().into(), request.into()];
            admin.execute(statement, &parameters)
        })?;
        reach(CrashPoint::RequestAnswered);
        Ok(())
    }

    fn answer_to(&self, request: i64) -> Result<Option<Value>, StoreError> {
        let statement = "SELECT answer FROM requests WHERE id = $1";
        let rows = {
            let writer = self.writer();
            let sql = writer.ledger.backend.reading();
            sql.query(statement, &[request.into()])?
        };
        let Some(row) = rows.first() else {
            let message = format!("there is no request {request}");
            return Err(TaskError::new("NotFound", message).into());
        };
        let answer = Columns(row).optional_text(0)?;
        Ok(answer.and_then(|answer| serde_json::from_str(&answer).ok()))
    }

    fn requests(&self) -> Result<Vec<OperationRequest>, StoreError> {
        let writer = self.writer();
        let backend = &writer.ledger.backend;
        Ok(requests(
            backend.reading(),
            backend.host(),
            backend.business(),
        )?)
    }

    fn due(&self, due: Due) -> Result<Vec<FlowId>, StoreError> {
        let writer = self.writer();
        let backend = &writer.ledger.backend;
        let (host, business) = (backend.host(), backend.business());
        Ok(sleepers::due(backend.reading(), host, business, due)?)
    }

    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Result<Vec<FlowId>, StoreError> {
        let writer = self.writer();
        Ok(sleepers::awake(
            writer.ledger.backend.reading(),
            flows,
            now,
        )?)
    }

    fn watch(&self) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let writer = self.writer();
        let backend = &writer.ledger.backend;
        let host = backend.host();
        let business = backend.business();
        let outlook = backend.outlook()?;
        Ok(outlook.map(|outlook| {
            Box::new(Beside {
                outlook,
                host,
                business,
                seen: None,
            }) as _
        }))
    }

    fn outbox(&self) -> Result<Option<Box<dyn Outbox>>, StoreError> {
        self.writer().ledger.backend.outbox()
    }

    fn shared(&self) -> Option<&dyn Shared> {
        B::shared(self)
    }

    fn operators(&self) -> Option<&dyn Operators> {
        Some(self)
    }
}

impl<B: SqlBackend> Operators for Batched<B> {
    fn read_dyn(&self, requester: &Identity, read: Read<'_>) -> Result<(), StoreError> {
        self.read(requester, |view| {
            read(view);
            Ok(())
        })
    }

    fn admin_dyn(&self, requester: &Identity, work: Work<'_>) -> Result<(), StoreError> {
        let done = self.try_admin(requester, |admin| match work(admin) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(NotDone::Refused),
        });
        match done {
            Ok(()) | Err(NotDone::Refused) => Ok(()),
            Err(NotDone::Store(error)) => Err(error),
        }
    }

    fn prune_flows(
        &self,
        requester: &Identity,
        older_than: Duration,
    ) -> Result<Pruned, StoreError> {
        Self::prune_flows(self, requester, older_than)
    }
}

/// Why an operator's change was not made.
enum NotDone {
    Refused,
    Store(StoreError),
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Notices the requests of other processes.
struct Beside {
    outlook: Box<dyn Outlook>,
    host: Cell,
    business: &'static str,
    /// The version at which there were no requests.
    seen: Option<i64>,
}

impl Watch for Beside {
    fn on_disk(&self, flows: &[FlowId]) -> Vec<Result<FlowOnDisk, StoreError>> {
        on_disk::all_on_disk(self.outlook.sql(), flows)
    }

    fn has_requests(&mut self) -> Result<bool, StoreError> {
        let version = self.outlook.version()?;
        if version.is_some() && version == self.seen {
            return Ok(false);
        }
        let found = requests(self.outlook.sql(), self.host.clone(), self.business)?;
        if found.is_empty() {
            self.seen = version;
        }
        Ok(!found.is_empty())
    }

    fn due(&self, due: Due) -> Result<Vec<FlowId>, StoreError> {
        let (sql, host) = (self.outlook.sql(), self.host.clone());
        Ok(sleepers::due(sql, host, self.business, due)?)
    }

    fn awake(&self, flows: &[FlowId], now: Timestamp) -> Result<Vec<FlowId>, StoreError> {
        Ok(sleepers::awake(self.outlook.sql(), flows, now)?)
    }

    fn look_again(&mut self) {
        self.seen = None;
    }
}

/// Returns the open requests for flows that a host owns or no host owns.
fn requests(sql: &dyn Sql, host: Cell, business: &str) -> Result<Vec<OperationRequest>, SqlError> {
    let statement = format!(
        "SELECT requests.id, requests.flow, operation FROM requests JOIN flows ON flows.id = requests.flow
         WHERE answer IS NULL AND (host = $1 OR host IS NULL) AND {business} ORDER BY requests.id"
    );
    let mut found = Vec::new();
    for row in sql.query(&statement, &[host])? {
        let row = Columns(&row);
        // An operation of a newer version is left for a process of that version.
        if let Ok(asked) = serde_json::from_str(&row.text(2)?) {
            found.push(OperationRequest {
                id: row.int(0)?,
                flow: row.flow(1)?,
                asked,
            });
        }
    }
    Ok(found)
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(error.to_string()))
}
