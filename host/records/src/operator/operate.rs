use cairn_effects::rows::{Cell, Field as _};
use cairn_effects::rules::{Effect as _, LookUp as _};
use cairn_model::error::TaskError;
use cairn_model::id::FlowId;
use cairn_model::value::Value;
use cairn_store::StoreError;
use cairn_store::admin::Admin;
use cairn_store::audit::Change;
use serde_json::json;

use crate::rules::{Entry, Expect, RecordGet, RecordPut, RecordRemove, operate};

/// An operator's changes to the records of the requester's project. They are published at once.
pub trait OperateRecords {
    /// Puts a value under a key, and returns its version.
    ///
    /// # Errors
    /// `Busy`, naming the flow that holds the key; those of [`RecordPut`].
    fn put_record(
        &mut self,
        collection: &str,
        key: &str,
        value: &Value,
        expect: Expect,
    ) -> Result<u64, StoreError>;

    /// Removes the record of a key.
    ///
    /// # Errors
    /// `Busy`, naming the flow that holds the key; those of [`RecordRemove`].
    fn remove_record(
        &mut self,
        collection: &str,
        key: &str,
        expect: Expect,
    ) -> Result<(), StoreError>;

    /// Releases a key that is held by a flow that cannot continue: one that is stuck, whose rollback is incomplete, or that no longer
    /// exists. Discards the flow's pending change of the record.
    ///
    /// # Errors
    /// `NotHeld` when that flow does not hold the key; `FlowUnfinished` when it can continue or be rolled back.
    fn release_record(
        &mut self,
        collection: &str,
        key: &str,
        flow: FlowId,
        reason: &str,
    ) -> Result<(), StoreError>;
}

impl OperateRecords for Admin<'_> {
    fn put_record(
        &mut self,
        collection: &str,
        key: &str,
        value: &Value,
        expect: Expect,
    ) -> Result<u64, StoreError> {
        let put = RecordPut {
            collection: collection.to_owned(),
            key: key.to_owned(),
            value: value.clone(),
            expect,
        };
        let (before, version) = self.rules(|rows| {
            let before = get(collection, key).look_up(rows)?;
            Ok((before, put.apply(rows)?))
        })?;
        self.record(Change {
            before: shown(before),
            after: json!({"version": version, "value": value}),
            ..change("record.put", self, &subject(collection, key))
        })?;
        Ok(version)
    }

    fn remove_record(
        &mut self,
        collection: &str,
        key: &str,
        expect: Expect,
    ) -> Result<(), StoreError> {
        let remove = RecordRemove {
            collection: collection.to_owned(),
            key: key.to_owned(),
            expect,
        };
        let before = self.rules(|rows| {
            let before = get(collection, key).look_up(rows)?;
            remove.apply(rows)?;
            Ok(before)
        })?;
        self.record(Change {
            before: shown(before),
            ..change("record.remove", self, &subject(collection, key))
        })
    }

    fn release_record(
        &mut self,
        collection: &str,
        key: &str,
        flow: FlowId,
        reason: &str,
    ) -> Result<(), StoreError> {
        // Releases of pruned flows are not read any more.
        self.execute(
            "DELETE FROM record_releases WHERE NOT EXISTS (SELECT 1 FROM flows WHERE flows.id = record_releases.flow)",
            &[],
        )?;
        self.rules(|rows| operate::release(rows, collection, key, flow, reason))?;
        require_stuck(self, flow)?;
        self.record(Change {
            reason: Some(reason),
            before: json!({"flow": flow}),
            ..change("record.release", self, &subject(collection, key))
        })
    }
}

fn get(collection: &str, key: &str) -> RecordGet {
    RecordGet {
        collection: collection.to_owned(),
        key: key.to_owned(),
    }
}

/// Returns the name of a record in the audit.
fn subject(collection: &str, key: &str) -> String {
    format!("{collection}/{key}")
}

fn change<'a>(action: &'a str, admin: &Admin<'a>, subject: &'a str) -> Change<'a> {
    Change {
        action,
        subject,
        project_id: Some(&admin.requester().project_id),
        ..Change::default()
    }
}

fn shown(record: Option<Entry>) -> Value {
    record.map_or(
        Value::Null,
        |record| json!({"version": record.version, "value": record.value}),
    )
}

/// Refuses to release a key of a flow that can continue. The refusal rolls back earlier changes of the same operation.
fn require_stuck(admin: &Admin<'_>, flow: FlowId) -> Result<(), StoreError> {
    let view = admin.view();
    let id = Cell::from(flow.cell());
    let state = view
        .query("SELECT state FROM flows WHERE id = $1", &[id])?
        .pop();
    let Some(Cell::Text(state)) = state.and_then(|cells| cells.into_iter().next()) else {
        return Ok(());
    };
    if matches!(&*state, "SUCCESS" | "FAILURE") || view.stuck(flow)?.is_some() {
        return Ok(());
    }
    let message = format!(
        "flow {flow} can continue ({state}), and releases its keys when it ends: `cairn flow resume {flow}` finishes it, `cairn flow \
         rollback {flow}` undoes it"
    );
    Err(TaskError::new("FlowUnfinished", message)
        .with("flow", flow.to_string())
        .with("state", &*state)
        .into())
}
