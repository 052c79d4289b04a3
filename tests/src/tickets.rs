//! A domain outside of Cairn: a table, a counter, an effect, a fact, and an interface of another package.

use cairn::capability::SimpleCapability;
use cairn::domain::{Domain, Fact};
use cairn::effect::{Change, counts};
use cairn::extension::Extension;
use cairn::manifest::SimpleGrantKind;
use cairn::rows::{Hooks, Key, Pruned, Row as _, RowId, Rows, Stop, Text};
use cairn::rules::Effect;
use cairn::{FlowId, Object, TaskError, Value};
use serde_json::json;

use crate::guest::Call;

const OWNED: Hooks = Hooks {
    owner: Some("project_id"),
    flow: Some("flow"),
    title: Some("id"),
    hidden: &["flow"],
    pruned: Pruned::Forget,
    ..Hooks::NONE
};

cairn::table! {
    /// A ticket.
    pub struct Ticket in "tickets", called "ticket", with OWNED {
        key id;
        project_id: Text,
        priority: i64,
        flow: Option<FlowId>,
    }
}

const COUNTED: Hooks = Hooks {
    owner: Some("project_id"),
    is_idle: |row| row.get("number") == Some(&Value::from(0)),
    ..Hooks::NONE
};

cairn::table! {
    /// The number of tickets that a project has opened, by priority.
    pub struct Opened in "tickets_opened", called "count", with COUNTED {
        key project_id, priority;
        number: i64,
    }
}

/// The tables of the domain, in SQL.
pub const TABLES: &str = "CREATE TABLE tickets (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, priority INTEGER NOT NULL, flow BLOB
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tickets_opened (
        project_id TEXT NOT NULL, priority TEXT NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (project_id, priority)
    ) STRICT, WITHOUT ROWID;";

/// The tables of the domain on PostgreSQL.
pub const POSTGRES: &str = "CREATE TABLE tickets (
        id text COLLATE \"C\" PRIMARY KEY, project_id text COLLATE \"C\" NOT NULL, priority bigint NOT NULL, flow bytea
    );
    CREATE TABLE tickets_opened (
        project_id text COLLATE \"C\" NOT NULL, priority text COLLATE \"C\" NOT NULL, number bigint NOT NULL,
        PRIMARY KEY (project_id, priority)
    );";

/// Opens a ticket.
pub struct OpenTicket {
    /// The urgency; 0 is refused.
    pub priority: u32,
}

impl Effect for OpenTicket {
    const NAME: &'static str = "ticket_open";
    const FUNCTION: &'static str = "tickets.open";
    /// The number of tickets of this priority that the project has opened.
    type Answer = i64;

    fn arguments(&self) -> Value {
        json!({"priority": self.priority})
    }

    fn apply(&self, rows: &mut Rows<'_>) -> Result<i64, Stop> {
        if self.priority == 0 {
            return Err(TaskError::new("NoPriority", "nothing is that urgent").into());
        }
        let by = rows.by();
        let project = Text::from(by.requester.project_id.as_str());
        let key = [Text::clone(&project), Text::from(self.priority.to_string())];
        let opened = match rows.get::<Opened>(key.clone())? {
            Some(opened) => opened.number,
            None => {
                rows.insert(Opened {
                    project_id: Text::clone(&project),
                    priority: Text::clone(&key[1]),
                    number: 0,
                });
                // Creating the counter is not a change of the flow.
                rows.keep();
                0
            }
        };
        let ticket = Ticket {
            id: rows.new_id(),
            project_id: project,
            priority: i64::from(self.priority),
            flow: by.call.map(|call| call.flow),
        };
        let ticket = rows.insert(ticket);
        rows.note(Change::Row {
            table: Ticket::TABLE.name.into(),
            id: Text::clone(&ticket.id).into(),
            before: None,
            after: Some(Object::from_iter([(
                "priority".to_owned(),
                self.priority.into(),
            )])),
        });
        let opened_key = Key::from(key);
        let id = RowId::of::<Opened>(opened_key.clone());
        rows.count_by(&id, [("number", 1)])?;
        rows.note(Change::Count {
            table: Opened::TABLE.name.into(),
            key: opened_key,
            by: counts([("number", 1)]),
        });
        Ok(opened + 1)
    }
}

/// Returns the domain with these migrations.
pub fn domain(migrations: &'static [&'static str]) -> Domain {
    Domain {
        name: "tickets",
        tables: vec![Ticket::TABLE.into(), Opened::TABLE.into()],
        facts: vec![Fact {
            name: "ticket-opened",
            holds: |applied| applied.effect == OpenTicket::NAME,
        }],
        migrations,
        postgres: &[POSTGRES],
        ..Domain::default()
    }
}

/// The capability of opening tickets.
pub const TICKETS: SimpleCapability = SimpleCapability::new(
    SimpleGrantKind::new("tickets", &["acme:tickets/tickets"], &["open"]),
    |linker| {
        let mut tickets = linker.instance("acme:tickets/tickets@1.0.0")?;
        tickets.func_wrap("open", |mut store, (priority,): (u32,)| {
            let state = store.data_mut().enter();
            state.grant("tickets")?;
            // The interface has no errors: a refusal returns 0.
            let opened = state.apply(&OpenTicket { priority })?.unwrap_or(0);
            Ok((u32::try_from(opened).unwrap_or(u32::MAX),))
        })
    },
);

/// Returns a task that opens a ticket of this priority, as component text.
pub fn opens(priority: u32) -> String {
    let body = format!(
        "(drop (call $open (i32.const {priority}))) (call $answer (i32.const 48) (i32.const 15))"
    );
    let text = Call::Behaves.component();
    let replaced = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let text = replaced(
        text,
        "(component\n",
        "(component
  (import \"acme:tickets/tickets@1.0.0\" (instance $tickets
    (export \"open\" (func (param \"priority\" u32) (result u32)))))
  (core func $open (canon lower (func $tickets \"open\")))\n",
    );
    let text = replaced(
        text,
        "    (import \"clock\" \"now\"",
        "    (import \"tickets\" \"open\" (func $open (param i32) (result i32)))\n    (import \"clock\" \"now\"",
    );
    let text = replaced(
        text,
        "(with \"clock\"",
        "(with \"tickets\" (instance (export \"open\" (func $open))))\n    (with \"clock\"",
    );
    replaced(text, "(call $answer (i32.const 48) (i32.const 15))", &body)
}

/// Returns the domain with its capability, in the form that a program passes to Cairn.
pub fn extension() -> Extension {
    Extension::from(domain(&[TABLES])).capability(TICKETS)
}
