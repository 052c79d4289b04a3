//! A domain outside of Cairn: a table, a counter, an effect, a fact, and an interface of another package. A flow of a plugin that imports
//! the interface runs, is rolled back, and satisfies the laws; a program without the domain does not touch its flows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acceptance::guest::Call;
use acceptance::program::Program;
use acceptance::tickets::{OpenTicket, TABLES, TICKETS, domain, extension, opens};
use cairn::audit::Asker;
use cairn::clock::SystemClock;
use cairn::domain::Domain;
use cairn::event::{Event, FlowState};
use cairn::history::History;
use cairn::host::Dispatched;
use cairn::id::{CallId, Phase};
use cairn::manifest::GrantKinds;
use cairn::plan::Role;
use cairn::plugin::{InProcess, PluginConfig, Plugins};
use cairn::rows::Cell;
use cairn::store::HostStore;
use cairn::store::operation::Operation;
use cairn::store::view::Reader;
use cairn::{
    Cairn, Domains, FlowId, Host, Identity, Manifest, Report, Sqlite, SqliteConfig, Store as _,
    StoreError, Submission, TaskId, Value, Verdict, volumes,
};
use cairn_laws::{Case, Fakes, Law, Subject, Tools};
use serde_json::json;
use tempfile::TempDir;

fn plugins() -> Arc<Plugins> {
    let mut config: PluginConfig = cairn::plugin_config();
    config.capabilities.push(Arc::new(TICKETS));
    config.compiler = Some(Arc::new(InProcess));
    Plugins::new(&config).unwrap()
}

fn config(domains: impl IntoIterator<Item = Domain>) -> SqliteConfig {
    let volumes = volumes::domain(volumes::Settings::default());
    SqliteConfig {
        domains: Domains::new([volumes].into_iter().chain(domains)).unwrap(),
        ..SqliteConfig::default()
    }
}

// ---- Tests -----------------------------------------------------------------------------------------------------------

struct Place {
    folder: TempDir,
    plugins: Arc<Plugins>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("opens.wat"), opens(3)).unwrap();
        std::fs::write(folder.path().join("fails.wat"), Call::Traps.component()).unwrap();
        Self {
            folder,
            plugins: plugins(),
        }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("cairn.db")
    }

    fn store(&self, config: SqliteConfig) -> Result<Arc<Sqlite>, StoreError> {
        Sqlite::open(&self.database(), config, Arc::new(SystemClock)).map(Arc::new)
    }

    fn host(&self) -> Host {
        let store = self.store(config([domain(&[TABLES])])).unwrap();
        let host = Host::builder(store, Arc::clone(&self.plugins));
        host.build().unwrap()
    }

    /// Runs a flow that opens two tickets and then the plugin `last`.
    fn run(&self, host: &Host, last: &str) -> Report {
        let text = format!(
            "[flow]\nname = 'tickets'\n\
             [plugins.one]\npath = 'opens.wat'\ngrants = {{ tickets = true }}\n\
             [plugins.two]\npath = 'opens.wat'\ngrants = {{ tickets = true }}\n\
             [plugins.last]\npath = '{last}.wat'\ngrants = {{ {} }}\n\
             [[task]]\nplugin = 'one'\n[[task]]\nplugin = 'two'\n[[task]]\nplugin = 'last'\n",
            if last == "opens" {
                "tickets = true"
            } else {
                ""
            }
        );
        let file = self.folder.path().join("flow.toml");
        let manifest = Manifest::parse(&text, &file, self.plugins.kinds()).unwrap();
        let plan = host.plan(&manifest).unwrap();
        let ready = host.ready(&plan).unwrap();
        let submitted = host
            .submit(Submission {
                plan: ready,
                requester: Identity::new("ann", "acme"),
                request: Ok(Value::Null),
                key: None,
            })
            .unwrap();
        submitted.wait().unwrap()
    }

    /// Returns the priorities of the existing tickets, and the counted number.
    fn tickets(&self, store: &dyn HostStore) -> (Vec<i64>, i64) {
        let nobody = Identity::default();
        store
            .read(&nobody, |view| {
                let number = |cell: &Cell| match cell {
                    Cell::Int(number) => *number,
                    other => panic!("{other:?}"),
                };
                let tickets = view.query("SELECT priority FROM tickets ORDER BY id", &[])?;
                let opened =
                    view.query("SELECT coalesce(sum(number), 0) FROM tickets_opened", &[])?;
                let priorities = tickets.iter().map(|row| number(&row[0])).collect();
                Ok((priorities, number(&opened[0][0])))
            })
            .unwrap()
    }
}

fn by() -> Asker {
    Asker::new("ann", "test")
}

fn take_back() -> Operation {
    Operation::Rollback {
        reason: "it was a mistake".to_owned(),
    }
}

#[test]
fn a_flow_of_a_strange_domain_is_rolled_back_clean() {
    let place = Place::new();
    let host = place.host();

    let failed = place.run(&host, "fails");
    assert_eq!(failed.flow.state, FlowState::Failure);
    assert_eq!(failed.rollback.unwrap().verdict, Verdict::Clean);
    assert_eq!(place.tickets(&**host.store()), (vec![], 0));

    let done = place.run(&host, "opens");
    assert_eq!(done.flow.state, FlowState::Success);
    assert_eq!(place.tickets(&**host.store()), (vec![3, 3, 3], 3));

    let Dispatched::Here(rolled_back) = host.operate(done.flow.id, &take_back(), &by()).unwrap()
    else {
        panic!("no other process has it");
    };
    assert_eq!(rolled_back.rollback.unwrap().verdict, Verdict::Clean);
    assert_eq!(place.tickets(&**host.store()), (vec![], 0));
}

#[test]
fn a_program_without_the_domain_leaves_its_flows_alone() {
    let place = Place::new();
    let host = place.host();
    let done = place.run(&host, "opens").flow.id;
    let failed = place.run(&host, "fails").flow.id;
    drop(host);

    let store = place.store(config([])).unwrap();
    let error = store.load(done).unwrap_err().to_string();
    assert!(error.contains("changed the table `tickets"), "{error}");
    assert!(error.contains("the domain `tickets`"), "{error}");

    // Without the domain, the report of a rolled-back flow must not claim that it is clean.
    let reader = Reader::open(&place.database(), config([]), Arc::new(SystemClock)).unwrap();
    let journal = reader.view(&Identity::default()).journal(failed).unwrap();
    let history = History::fold(&journal, store.domains()).unwrap();
    let rollback = Report::new(failed, &history).rollback.unwrap();
    assert_eq!(rollback.verdict, Verdict::Residue);
    let kinds: BTreeSet<&str> = rollback
        .residue
        .iter()
        .map(|left| left.kind.as_str())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["tickets", "tickets_opened"]));

    // Nothing was changed.
    assert_eq!(place.tickets(&*store), (vec![3, 3, 3], 3));
}

#[test]
fn a_host_without_the_domain_takes_none_of_its_flows_back() {
    let place = Place::new();
    let host = place.host();
    let done = place.run(&host, "opens").flow.id;
    drop(host);

    let store = place.store(config([])).unwrap();
    let without = Plugins::new(&cairn::plugin_config()).unwrap();
    let host = Host::builder(store, without).build().unwrap();
    let error = host.operate(done, &take_back(), &by()).unwrap_err();
    assert!(error.to_string().contains("tickets"), "{error}");
    assert_eq!(place.tickets(&**host.store()), (vec![3, 3, 3], 3));
}

#[test]
fn a_flow_that_was_cut_off_is_set_aside_before_anything_is_undone() {
    let place = Place::new();
    let store = place.store(config([domain(&[TABLES])])).unwrap();
    let ann = Identity::new("ann", "acme");
    let call = CallId {
        flow: FlowId::new(),
        task: TaskId::new(),
        phase: Phase::Call,
        attempt: 1,
    };
    let begun = [
        Event::Created {
            name: "tickets".to_owned(),
            requester: ann.clone(),
            request: Value::Null,
            plan: None,
            key: None,
            asked: None,
        },
        Event::State {
            from: FlowState::Pending,
            to: FlowState::Running,
        },
        Event::Started {
            task: call.task,
            name: "one".to_owned(),
            attempt: 1,
        },
    ];
    store.append(call.flow, &begun).unwrap();
    let by = cairn::effect::Caller {
        call: Some(call),
        requester: &ann,
    };
    store.apply(by, &OpenTicket { priority: 7 }).unwrap();
    drop(store);

    let store = place.store(config([])).unwrap();
    let host = Host::builder(store, Arc::clone(&place.plugins))
        .build()
        .unwrap();
    let recovered = host.recover(false).unwrap();
    assert_eq!(recovered.len(), 1);
    let reason = recovered[0].outcome.as_ref().unwrap_err();
    assert!(reason.contains("changed the table `tickets"), "{reason}");
    let stuck = host
        .store()
        .read(&Identity::default(), |view| view.stuck(call.flow));
    assert_eq!(stuck.unwrap().as_ref(), Some(reason));
    assert_eq!(place.tickets(&**host.store()), (vec![7], 1));
}

#[test]
fn an_effect_of_a_domain_that_is_not_registered_is_refused() {
    let place = Place::new();
    drop(place.store(config([domain(&[TABLES])])).unwrap());
    let store = place.store(config([])).unwrap();
    let ann = Identity::new("ann", "acme");
    let by = cairn::effect::Caller {
        call: None,
        requester: &ann,
    };
    let error = store.apply(by, &OpenTicket { priority: 1 }).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not registered with this host"),
        "{error}"
    );
    assert_eq!(place.tickets(&*store), (vec![], 0));
}

#[test]
fn tables_of_a_domain_are_brought_up_to_date_and_newer_ones_refused() {
    const SECOND: &str = "ALTER TABLE tickets ADD COLUMN note TEXT";
    let place = Place::new();
    drop(place.store(config([domain(&[TABLES])])).unwrap());
    let reader = |config| Reader::open(&place.database(), config, Arc::new(SystemClock));
    let newer = || config([domain(&[TABLES, SECOND])]);
    let behind = reader(newer()).unwrap().require_newest().unwrap_err();
    assert!(
        behind.to_string().contains("`cairn db migrate`"),
        "{behind}"
    );

    let store = place.store(newer()).unwrap();
    let columns = store.read(&Identity::default(), |view| {
        view.query("SELECT count(note) FROM tickets", &[])
    });
    assert_eq!(columns.unwrap(), [[Cell::Int(0)]]);
    drop(store);
    assert!(reader(newer()).unwrap().require_newest().is_ok());

    let refused = place.store(config([domain(&[TABLES])])).err().unwrap();
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

#[test]
fn a_step_that_fails_leaves_the_tables_as_they_were() {
    let place = Place::new();
    let broken = config([domain(&[TABLES, "CREATE TABLE tickets (id TEXT)"])]);
    let error = place.store(broken).err().unwrap().to_string();
    assert!(
        error.contains("step 2 of the tables of the domain `tickets`"),
        "{error}"
    );
    // The first step was rolled back with it, and is repeated.
    let store = place.store(config([domain(&[TABLES])])).unwrap();
    assert_eq!(place.tickets(&*store), (vec![], 0));
}

#[test]
fn domains_and_capabilities_of_one_name_are_refused() {
    let twice = [domain(&[TABLES]), domain(&[TABLES])];
    let error = Domains::new(twice).unwrap_err();
    assert_eq!(error.to_string(), "two domains are called `tickets`");
    let other = Domain {
        name: "other",
        ..domain(&[TABLES])
    };
    let error = Domains::new([domain(&[TABLES]), other]).unwrap_err();
    assert_eq!(error.to_string(), "two tables are called `tickets`");
    let kinds = GrantKinds::new([Arc::new(TICKETS) as _, Arc::new(TICKETS) as _]);
    assert!(kinds.is_err());
}

#[test]
fn the_laws_are_tried_and_answers_faked_for_it() {
    let place = Place::new();
    let tools = Tools {
        plugins: Arc::clone(&place.plugins),
        builtins: cairn_bundle::PLUGINS.to_vec(),
        domains: vec![domain(&[TABLES])],
        folder: place.folder.path().to_owned(),
    };
    let subject = Subject::file(place.folder.path().join("opens.wat"));
    let cases = "[[case]]\nname = 'opens'\nexpect = { result = { text = 'here' } }";
    let cases = Case::parse(
        cases,
        Path::new("cases.toml"),
        &BTreeSet::from([Role::Task]),
    )
    .unwrap();
    let tested = cairn_laws::test(&tools, &subject, &cases, &Law::ALL).unwrap();
    for case in &tested.cases {
        assert!(case.is_ok(), "{case:#?}");
        assert_eq!(case.laws.len(), 6, "every law of tasks");
    }

    let mut fakes = Fakes::default();
    let answers = json!({"open": {"answer": 70}});
    fakes
        .add(
            "tickets",
            answers.as_object().unwrap(),
            place.plugins.kinds(),
        )
        .unwrap();
    let call = cairn_laws::Call {
        fakes,
        ..cairn_laws::Call::default()
    };
    let called = cairn_laws::call(&tools, &subject, &call, true).unwrap();
    assert_eq!(called.asked[0].function, "tickets.open");
    assert_eq!(called.asked[0].arguments, json!({"priority": 3}));
    assert_eq!(called.asked[0].answer, json!(70));
    assert_eq!(called.effects, [], "nothing was done");
    let real = cairn_laws::call(&tools, &subject, &cairn_laws::Call::default(), true).unwrap();
    assert_eq!(real.asked[0].answer, json!(1));
    assert!(!real.effects.is_empty());
    assert_eq!(real.revert.unwrap().left, []);
}

/// A flow of one plugin that opens a ticket.
const ONE: &str = "[flow]\nname = 'tickets'\n[plugins.one]\npath = 'opens.wat'\ngrants = { tickets = true }\n\
                   [[task]]\nplugin = 'one'\n";

#[test]
fn the_short_api_takes_the_domain_as_one_value() {
    let place = Place::new();
    let manifest = place.folder.path().join("flow.toml");
    std::fs::write(&manifest, ONE).unwrap();
    let builder = || Cairn::builder().in_memory();
    let cairn = builder().domain(extension());
    let cairn = cairn.compiler(|_| Arc::new(InProcess)).build().unwrap();
    let flow = cairn.flow(&manifest).unwrap();
    let report = flow.run(&Identity::new("ann", "acme"), json!({})).unwrap();
    assert_eq!(report.flow.state, FlowState::Success);
    assert_eq!(place.tickets(&**cairn.host().store()), (vec![3], 1));

    let error = builder().build().unwrap().flow(&manifest).unwrap_err();
    assert!(error.to_string().contains("`tickets`"), "{error}");
}

#[test]
fn the_command_line_of_a_program_takes_the_domain_as_one_value() {
    let there = |program: &'static str| {
        let program = Program::new(program);
        program
            .write("opens.wat", opens(3))
            .write("flow.toml", ONE)
            .write("request.json", "{}");
        program
    };
    let run = ["run", "flow.toml", "--input", "request.json", "--json"];
    let with = there(env!("CARGO_BIN_EXE_cairn-extended"));
    let report = with.run(&run).exits(0).json();
    let id = report["flow"]["id"].as_str().expect("an id").to_owned();
    let opened = || {
        let database = rusqlite::Connection::open(with.path("cairn.db")).unwrap();
        let count = "SELECT count(*) FROM tickets";
        database
            .query_row(count, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(opened(), 1);
    with.run(&["flows", "rollback", &id]).exits(0);
    assert_eq!(opened(), 0);

    let without = there(env!("CARGO_BIN_EXE_cairn-under-test"));
    without.run(&run).exits(2).says(&["tickets"]);
}
