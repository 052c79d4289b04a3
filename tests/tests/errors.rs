//! An error and its sources, printed one after the other, state everything once.

use std::error::Error;
use std::path::{Path, PathBuf};

use cairn::clock::Timestamp;
use cairn::domain::Domain;
use cairn::flow_request::RequestError;
use cairn::keyring::MasterKey;
use cairn::plugin::PluginError;
use cairn::{Diagnostic, Domains, FlowError, HostError, StoreError, TaskError};
use cairn_bench::BenchError;
use cairn_laws::LawsError;

/// Follows an error and its sources. Fails if one repeats the text of the next.
#[track_caller]
fn says_everything_once(error: &dyn Error) {
    let mut texts = vec![error.to_string()];
    let mut above = error;
    while let Some(source) = above.source() {
        texts.push(source.to_string());
        above = source;
    }
    for (at, text) in texts.iter().enumerate() {
        let repeated = texts[..at]
            .iter()
            .find(|above| above.contains(text.as_str()));
        assert_eq!(repeated, None, "{text:?} occurs twice in {texts:?}");
    }
}

fn task_error() -> TaskError {
    TaskError::new("OverQuota", "the quota of volumes is used up")
}

fn diagnostic() -> Diagnostic {
    Diagnostic::new("there is no plugin `a`").at(Path::new("flow.toml"), 3)
}

fn plugin_error() -> PluginError {
    PluginError::Sandbox("there is no memory".to_owned())
}

fn io_error() -> std::io::Error {
    std::io::Error::other("the disk is gone")
}

fn clock_error() -> StoreError {
    Timestamp(i64::MAX).check().unwrap_err().into()
}

#[test]
fn an_error_of_the_store_says_everything_once() {
    says_everything_once(&StoreError::Refused(task_error()));
    says_everything_once(&clock_error());
    says_everything_once(&RequestError::from(diagnostic()));
    says_everything_once(&RequestError::from(StoreError::Refused(task_error())));
}

#[test]
fn an_error_of_the_host_says_everything_once() {
    says_everything_once(&HostError::from(diagnostic()));
    says_everything_once(&HostError::from(clock_error()));
    says_everything_once(&HostError::from(plugin_error()));
    says_everything_once(&HostError::Flow(FlowError::MissingDependencies(
        task_error(),
    )));
    says_everything_once(&HostError::Flow(FlowError::from(clock_error())));
    says_everything_once(&HostError::Thread(io_error()));
}

#[test]
fn an_error_of_a_tool_says_everything_once() {
    says_everything_once(&LawsError::from(diagnostic()));
    says_everything_once(&LawsError::from(HostError::from(plugin_error())));
    says_everything_once(&LawsError::from(clock_error()));
    says_everything_once(&LawsError::Folder(io_error()));
    says_everything_once(&BenchError::from(HostError::from(clock_error())));
    says_everything_once(&BenchError::from(clock_error()));
    says_everything_once(&BenchError::from(io_error()));
    says_everything_once(&BenchError::Database("no such table".to_owned()));
    says_everything_once(&BenchError::Folder(diagnostic()));
}

#[test]
fn an_error_of_a_domain_says_everything_once() {
    let named = |name| Domain {
        name,
        ..cairn::volumes::domain(Default::default())
    };
    says_everything_once(&Domains::new([named("a"), named("a")]).unwrap_err());
    says_everything_once(&Domains::new([named("a"), named("b")]).unwrap_err());
    let missing = PathBuf::from("/there/is/no/such/master-key");
    says_everything_once(&MasterKey::load(&missing).unwrap_err());
}

#[test]
fn a_text_that_occurs_twice_is_found() {
    #[derive(Debug)]
    struct Twice(std::io::Error);
    impl std::fmt::Display for Twice {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a file: {}", self.0)
        }
    }
    impl Error for Twice {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    let found = std::panic::catch_unwind(|| says_everything_once(&Twice(io_error())));
    assert!(found.is_err());
}
