use std::path::Path;

use cairn::Diagnostic;
use cairn::store::Location;
use cairn::store::postgres::PostgresConfig;
use cairn_bench::hosts::{self, HostsFigures, HostsOptions};
use cairn_bench::publish::{self, PublishFigures, PublishOptions};
use cairn_bench::stage::Storage;
use cairn_bench::{Case, Figures, Folder, Options};
use clap::{Args, ValueEnum};

use crate::args::Format;
use crate::exit::Failure;
use crate::interrupt::{self, Interrupt};
use crate::output;
use crate::scratch;
use crate::session::Session;

/// Measure the volume-create flow on this machine, and the same work without Cairn
#[derive(Args, Debug)]
pub struct Bench {
    /// Number of flows to measure
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    flows: u32,
    /// Number of flows in flight at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// How each flow ends
    #[arg(long, value_enum, value_name = "CASE", default_value = "success")]
    case: Ending,
    /// Where the flows are stored
    #[arg(long, value_enum, value_name = "STORE", default_value = "sqlite")]
    store: Kept,
    /// Submit this many flows at the start, instead of a new one each time a flow ends
    #[arg(long, value_name = "N", conflicts_with = "flows", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    queued: Option<u32>,
    /// Number of projects that the flows belong to by turns; only with a --db on PostgreSQL
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    projects: Option<u32>,
    /// Number of hosts; only with a --db on PostgreSQL, whose database is not touched: the flows run in one beside it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    hosts: Option<u16>,
    /// Fill the database with this many volumes first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000_000))]
    volumes: u32,
    /// Fill the database with this many finished flows first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000_000))]
    finished_flows: u32,
    /// Deliver this many messages by the transport in [deliver] of cairn.toml instead, and measure one; whoever takes --topic gets them
    #[arg(long, value_name = "N", conflicts_with_all = ["flows", "concurrency", "case", "store", "queued", "projects", "hosts", "volumes", "finished_flows"], value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    messages: Option<u32>,
    /// The topic of the messages: for AMQP the routing key of a queue that you have declared for them
    #[arg(
        long,
        value_name = "TOPIC",
        default_value = "cairn-bench",
        requires = "messages"
    )]
    topic: String,
    #[command(flatten)]
    format: Format,
}

/// Where the flows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kept {
    /// Tables in memory: measures the engine alone
    Memory,
    /// A database on disk
    Sqlite,
}

/// How each flow ends.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ending {
    /// A volume is created
    Success,
    /// The third task exceeds the quota; everything is undone
    OverQuota,
    /// The last task fails; the volume is left in `error`
    CastFails,
}

impl From<Ending> for Case {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Success => Self::Success,
            Ending::OverQuota => Self::OverQuota,
            Ending::CastFails => Self::CastFails,
        }
    }
}

impl Bench {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        if let Some(messages) = self.messages {
            return self.run_messages(session, messages as usize);
        }
        // Only a server that --db names: a bench puts load on it, and `cairn.toml` may name one that others work with.
        if let (Some(_), Location::Server(url)) =
            (&session.settings.global.db, &session.settings.db)
        {
            return self.run_hosts(session, session.server(url)?);
        }
        if self.hosts.is_some() || self.projects.is_some() {
            let message = "--hosts and --projects need a --db on a server";
            let help = "name one with --db postgres://USER@HOST/DATABASE; it is not touched, and that of cairn.toml is not used";
            return Err(Diagnostic::new(message).help(help).into());
        }
        let options = Options {
            case: self.case.into(),
            storage: match self.store {
                Kept::Memory => Storage::Memory,
                Kept::Sqlite => Storage::Sqlite,
            },
            flows: self.queued.unwrap_or(self.flows) as usize,
            concurrency: self.concurrency.into(),
            queued: self.queued.is_some(),
            volumes: self.volumes,
            finished_flows: self.finished_flows,
        };
        // Before the folder exists, so that no signal leaves it behind.
        let signals = interrupt::catch()?;
        // Beside the database that is named, else in the folder of temporary files.
        let folder = match &session.settings.global.db {
            Some(db) => match db.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => Folder::within(parent)?,
                _ => Folder::within(Path::new("."))?,
            },
            None => Folder::within(&std::env::temp_dir())?,
        };
        let path = folder.path().to_owned();
        let interrupt = Interrupt::before_the_end(signals, move || scratch::remove(&path))?;
        let figures = cairn_bench::run(&options, &session.plugins()?, &folder)?;
        drop(interrupt);
        if self.format.is_json() {
            return output::document(self.format, &figures);
        }
        output::print(&text(&figures))
    }
}

impl Bench {
    fn run_messages(self, session: &Session, messages: usize) -> Result<(), Failure> {
        let Some(deliver) = session.settings.deliver.clone() else {
            let message = "--messages needs a transport, and cairn.toml has no [deliver]";
            let help = "host/docs/messages.md describes [deliver]";
            return Err(Diagnostic::new(message).help(help).into());
        };
        let options = PublishOptions {
            deliver,
            topic: self.topic,
            messages,
        };
        let signals = interrupt::catch()?;
        let folder = Folder::within(&std::env::temp_dir())?;
        let path = folder.path().to_owned();
        let interrupt = Interrupt::before_the_end(signals, move || scratch::remove(&path))?;
        let figures = publish::run(&options, &folder)?;
        drop(interrupt);
        if self.format.is_json() {
            return output::document(self.format, &figures);
        }
        output::print(&publish_text(&figures))
    }

    fn run_hosts(self, session: &Session, server: PostgresConfig) -> Result<(), Failure> {
        if self.queued.is_some() || self.volumes > 0 || self.finished_flows > 0 {
            let message = "--queued, --volumes and --finished-flows do not work on a server";
            return Err(Diagnostic::new(message).help("leave them out").into());
        }
        if self.store == Kept::Memory {
            let message = "--store memory and a --db on a server contradict each other";
            return Err(Diagnostic::new(message)
                .help("leave one of them out")
                .into());
        }
        let options = HostsOptions {
            server,
            case: self.case.into(),
            flows: self.flows as usize,
            concurrency: self.concurrency.into(),
            hosts: self.hosts.unwrap_or(1).into(),
            projects: self.projects.unwrap_or(1) as usize,
        };
        let signals = interrupt::catch()?;
        let folder = Folder::within(&std::env::temp_dir())?;
        let path = folder.path().to_owned();
        // A database on the server that an interrupted run leaves is dropped by the next run.
        let interrupt = Interrupt::before_the_end(signals, move || scratch::remove(&path))?;
        let figures = hosts::run(&options, &session.plugins()?, &folder)?;
        drop(interrupt);
        if self.format.is_json() {
            return output::document(self.format, &figures);
        }
        output::print(&hosts_text(&figures))
    }
}

/// Formats the figures of messages.
fn publish_text(figures: &PublishFigures) -> String {
    let row = |name: &str, value: f64, nobody: f64| {
        vec![
            name.to_owned(),
            format!("{value:.0}"),
            format!("{nobody:.0}"),
            format!("{:.2}", value / nobody),
        ]
    };
    let table = output::table(
        &["", "measured", "confirmed by nobody", "ratio"],
        vec![
            row(
                "messages a second",
                figures.messages_per_s,
                figures.nobody_messages_per_s,
            ),
            row(
                "CPU time of a message, us",
                figures.cpu_us_per_message,
                figures.nobody_cpu_us_per_message,
            ),
        ],
    );
    format!(
        "{}\n\n{table}\n{} processors, load {:.2}\n",
        output::count(figures.messages, "message"),
        figures.cpus,
        figures.load1,
    )
}

/// Formats the figures of hosts on a server beside those of SQLite.
fn hosts_text(figures: &HostsFigures) -> String {
    let row = |name: &str, value: f64, sqlite: f64| {
        vec![
            name.to_owned(),
            format!("{value:.0}"),
            format!("{sqlite:.0}"),
            format!("{:.2}", value / sqlite),
        ]
    };
    let sqlite = figures.sqlite_cpu_us_per_flow;
    let mut rows = vec![
        row(
            "flows a second",
            figures.flows_per_s,
            figures.sqlite_flows_per_s,
        ),
        row(
            "CPU time of a flow at its host, us",
            figures.hosts_cpu_us_per_flow,
            sqlite,
        ),
    ];
    if let (Some(server), Some(both)) = (figures.server_cpu_us_per_flow, figures.cpu_us_per_flow())
    {
        rows.push(vec![
            "CPU time of a flow at the server, us".to_owned(),
            format!("{server:.0}"),
            String::new(),
            String::new(),
        ]);
        rows.push(row("both, us", both, sqlite));
    }
    let mut text = format!(
        "{} flows, {}, {} at each of {} on PostgreSQL, {}\n\n",
        figures.flows,
        figures.case.as_str(),
        output::count(figures.concurrency, "flow"),
        output::count(figures.hosts, "host"),
        output::count(figures.projects, "project"),
    );
    text.push_str(&output::table(
        &["", "PostgreSQL", "one host on SQLite", "ratio"],
        rows,
    ));
    text.push_str(&format!(
        "\n{:.3} commits a flow, {} processors, load {:.2}\n",
        figures.commits_per_flow, figures.cpus, figures.load1,
    ));
    let waits: Vec<String> = figures
        .waits
        .iter()
        .take(6)
        .map(|wait| {
            format!(
                "{} {:.0} %",
                output::printable(&wait.event),
                wait.share * 100.0
            )
        })
        .collect();
    if !waits.is_empty() {
        text.push_str(&format!("the server's sessions: {}\n", waits.join(", ")));
    }
    text
}

/// Formats a table of the figures, their baselines, and the ratios.
fn text(figures: &Figures) -> String {
    let row = |name: &str, value: String, against: &str, baseline: String, ratio: f64| {
        let ratio = format!("{ratio:.2}");
        vec![name.to_owned(), value, against.to_owned(), baseline, ratio]
    };
    let (bulk, single) = ("SQL alone, in bulk", "SQL alone, one by one");
    let mut rows = Vec::new();
    for (name, flows, cpu) in [
        ("", figures.flows_per_s, figures.cpu_us_per_flow),
        (
            ", native tasks",
            figures.native_flows_per_s,
            figures.native_cpu_us_per_flow,
        ),
    ] {
        for (baseline, floor, floor_cpu) in [
            (
                bulk,
                figures.floor_flows_per_s,
                figures.floor_cpu_us_per_flow,
            ),
            (
                single,
                figures.statements_flows_per_s,
                figures.statements_cpu_us_per_flow,
            ),
        ] {
            let figure = |value: f64| format!("{value:.0}");
            rows.push(row(
                &format!("flows a second{name}"),
                figure(flows),
                baseline,
                figure(floor),
                flows / floor,
            ));
            rows.push(row(
                &format!("CPU time of a flow, us{name}"),
                figure(cpu),
                baseline,
                figure(floor_cpu),
                cpu / floor_cpu,
            ));
        }
    }
    rows.extend([
        row(
            "one call, us",
            format!("{:.1}", figures.engine_call_us),
            "a bare instance",
            format!("{:.1}", figures.bare_call_us),
            figures.engine_to_bare(),
        ),
        row(
            "half of the flows within, ms",
            format!("{:.2}", figures.p50_ms),
            "one commit",
            format!("{:.2}", figures.commit_ms),
            figures.p50_to_commit(),
        ),
        row(
            "99 of 100 within, ms",
            format!("{:.2}", figures.p99_ms),
            "one commit",
            format!("{:.2}", figures.commit_ms),
            figures.p99_ms / figures.commit_ms,
        ),
    ]);
    let mut text = format!(
        "{} flows, {}, {} in flight{}{}\n\n",
        figures.flows,
        figures.case.as_str(),
        figures.concurrency,
        match figures.storage {
            Storage::Memory => ", in memory",
            Storage::Sqlite => "",
        },
        if figures.queued {
            ", all submitted at once"
        } else {
            ""
        },
    );
    text.push_str(&output::table(
        &["", "measured", "against", "", "ratio"],
        rows,
    ));
    text.push_str(&format!(
        "\n{:.3} commits a flow, {:.0} MiB resident at most, {} processors, load {:.2}\n",
        figures.commits_per_flow, figures.max_rss_mib, figures.cpus, figures.load1,
    ));
    if figures.volumes > 0 || figures.finished_flows > 0 {
        text.push_str(&format!(
            "{} volumes and {} finished flows were there before\n",
            figures.volumes, figures.finished_flows
        ));
    }
    text
}
