//! Options that several commands share, and parsers of option values.

use std::path::PathBuf;
use std::time::Duration;

use cairn::Diagnostic;
use cairn::text::{PLAIN_NAME, Text, Unfit, check_entry, is_plain_name};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, ValueEnum};

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Database file [default: cairn.db]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CAIRN_DB",
        hide_env_values = true
    )]
    pub db: Option<PathBuf>,
    /// Settings file, instead of cairn.toml in the working folder
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CAIRN_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// Policy file (JSON or YAML), whose rules replace built-in rules of the same name
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CAIRN_POLICY",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub policy: Option<PathBuf>,
    /// Folder of compiled plugins [default: cairn in the user's cache folder]
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "CAIRN_CACHE",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub cache: Option<PathBuf>,
    /// Folder in which an older version kept the components of stored plans
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "CAIRN_COMPONENTS",
        hide = true
    )]
    pub components: Option<PathBuf>,
    /// File of the master key: an older name of `file` in [keys]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CAIRN_MASTER_KEY",
        hide = true
    )]
    pub master_key: Option<PathBuf>,
    /// Format of messages on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        env = "CAIRN_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: LogFormat,
    /// Lowest level to log
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        default_value = "warn",
        env = "CAIRN_LOG_LEVEL",
        hide_env_values = true
    )]
    pub log_level: LogLevel,
    /// Log more: -v info, -vv debug, -vvv trace
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to colour messages
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub color: Color,
}

/// Format of messages on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// Heading of the options that identify the requester.
const REQUESTER: &str = "Requester";

/// Requester of a command.
#[derive(Args, Clone, Debug)]
pub struct Who {
    /// User who makes the request [default: demo]
    #[arg(long, value_name = "USER", help_heading = REQUESTER, env = "CAIRN_USER", hide_env_values = true)]
    pub user: Option<String>,
    /// Project that the request is for [default: demo]
    #[arg(
        long,
        value_name = "PROJECT", help_heading = REQUESTER,
        env = "CAIRN_PROJECT",
        hide_env_values = true
    )]
    pub project: Option<String>,
    /// Role of the user; may be repeated
    #[arg(long = "role", value_name = "ROLE", value_parser = word, help_heading = REQUESTER)]
    pub roles: Vec<String>,
    /// Act as an admin, who sees every project
    #[arg(long, help_heading = REQUESTER)]
    pub admin: bool,
}

/// Heading of the options of the storage domain.
const STORAGE: &str = "Storage";

/// Defaults for volumes whose request names no zone or no type; read with [`Storage::of`].
#[derive(Args, Clone, Debug)]
pub struct Placement {
    /// Zone of volumes whose request names none [default: nova]
    #[arg(long, value_name = "NAME", help_heading = STORAGE, env = "CAIRN_ZONE", hide_env_values = true, hide_short_help = true)]
    zone: Option<String>,
    /// Type of volumes whose request names none [default: none]
    #[arg(
        long,
        value_name = "NAME", help_heading = STORAGE,
        env = "CAIRN_DEFAULT_VOLUME_TYPE",
        hide_env_values = true,
        hide_short_help = true
    )]
    default_volume_type: Option<String>,
}

/// Quota class, for commands that check a quota.
#[derive(Args, Clone, Debug)]
pub struct QuotaClass {
    /// Quota class of the user's project
    #[arg(long, value_name = "CLASS", value_parser = word, help_heading = STORAGE, hide_short_help = true)]
    quota_class: Option<String>,
}

/// Values of the storage domain's options; `None` also for an option that the command does not have.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// `--zone`.
    pub zone: Option<String>,
    /// `--default-volume-type`.
    pub default_volume_type: Option<String>,
    /// `--quota-class`.
    pub quota_class: Option<String>,
}

impl Storage {
    /// Reads the options of the command that is run.
    pub fn of(matches: &ArgMatches) -> Self {
        let mut command = matches;
        while let Some((_, below)) = command.subcommand() {
            command = below;
        }
        // Not every command has every option.
        let given = |id| command.try_get_one::<String>(id).ok().flatten().cloned();
        Self {
            zone: given("zone"),
            default_volume_type: given("default_volume_type"),
            quota_class: given("quota_class"),
        }
    }
}

/// Output format of a list or an object.
#[derive(Args, Clone, Copy, Debug)]
pub struct Format {
    /// Format of results
    #[arg(
        short = 'o',
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    output: Output,
    /// Print one JSON document; same as `-o json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// JSON, one line per row of a list
    Jsonl,
}

impl Format {
    /// Returns the format, which either option sets.
    pub fn output(self) -> Output {
        match self.json {
            true => Output::Json,
            false => self.output,
        }
    }

    /// Returns whether results are printed as JSON.
    pub fn is_json(self) -> bool {
        self.output() != Output::Table
    }
}

/// Splits `KEY=VALUE`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) | None => Err("write KEY=VALUE".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
    }
}

/// Splits `KEY=VALUE` of metadata or specs, and checks the limits of such entries.
pub fn entry(text: &str) -> Result<(String, String), String> {
    let (key, value) = key_value(text)?;
    check_entry(&key, &value).map_err(|unfit| unfit.to_string())?;
    Ok((key, value))
}

/// Parses a duration, such as 30d.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number and a unit, such as 30d or 12h"))
}

/// Accepts the name of a flow.
pub fn plain_name(text: &str) -> Result<String, &'static str> {
    match is_plain_name(text) {
        true => Ok(text.to_owned()),
        false => Err(PLAIN_NAME),
    }
}

/// Accepts text for people, such as a description.
pub fn words(text: &str) -> Result<String, Unfit> {
    Text::Words.check(text).map(|()| text.to_owned())
}

/// Accepts text that identifies something, such as a zone.
pub fn word(text: &str) -> Result<String, Unfit> {
    Text::Word.check(text).map(|()| text.to_owned())
}

/// Accepts the name of a volume type.
pub fn name(text: &str) -> Result<String, Unfit> {
    Text::Name.check(text).map(|()| text.to_owned())
}

/// Options that a variable can also set: id, variable, limits. [`check`] applies the limits, because its errors name the option or
/// the variable.
const OPTIONS: &[(&str, &str, Text)] = &[
    ("zone", "CAIRN_ZONE", Text::Word),
    (
        "default_volume_type",
        "CAIRN_DEFAULT_VOLUME_TYPE",
        Text::Word,
    ),
    ("user", "CAIRN_USER", Text::Name),
    ("project", "CAIRN_PROJECT", Text::Name),
];

/// Checks the texts of [`OPTIONS`] against their limits.
///
/// # Errors
/// The first text that does not fit, with the option or the variable that it comes from.
pub fn check(matches: &ArgMatches) -> Result<(), Diagnostic> {
    for (id, variable, limits) in OPTIONS {
        // Not every command has every option.
        let Ok(Some(text)) = matches.try_get_one::<String>(id) else {
            continue;
        };
        let Err(unfit) = limits.check(text) else {
            continue;
        };
        return Err(match matches.value_source(id) {
            Some(ValueSource::EnvVariable) => {
                Diagnostic::new(format!("the variable `{variable}` {unfit}"))
                    .help(format!("give it a value, or unset {variable}"))
            }
            _ => Diagnostic::new(format!("`--{}` {unfit}", id.replace('_', "-"))),
        });
    }
    match matches.subcommand() {
        Some((_, matches)) => check(matches),
        None => Ok(()),
    }
}
