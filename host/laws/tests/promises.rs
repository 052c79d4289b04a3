//! An external that breaks one of the six promises is caught, by the laws that follow from it and by no others.

mod guests;
#[allow(dead_code, reason = "its `main` is for authors")]
#[path = "../../cli/templates/rust/external/examples/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use cairn::plan::Role;
use cairn_laws::{Case, Checked, Law, Subject, Tools, test};

use guests::{external, tools};

/// Serves cards on a port of its own; returns its URL.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || server::serve(&listener));
    url
}

/// Tries all laws on the guest that breaks `what`. `more` ends its case.
fn try_laws(tools: &Tools, what: &str, more: &str) -> Checked {
    let url = serve();
    let text = format!(
        "kind = 'card'\nsettings = {{ url = '{url}', breaks = '{what}' }}\n\
         grants = {{ http = {{ allow = ['{url}/*'] }} }}\n[[case]]\nname = 'one'\n{more}"
    );
    let roles = BTreeSet::from([Role::External]);
    let cases = Case::parse(&text, Path::new("cases.toml"), &roles).unwrap();
    let subject = Subject::file(external());
    let tested = test(tools, &subject, &cases, &Law::ALL).unwrap();
    let [checked] = <[Checked; 1]>::try_from(tested.cases).unwrap();
    checked
}

const SPEC: &str = "spec = '\"Ada\"'\nexpect = { result = { card = 'Ada' } }";
const REFUSED: &str = "spec = '\"refuse\"'\nexpect = { error = 'InvalidInput' }";

#[test]
fn each_broken_promise_is_noticed_by_its_laws_with_the_calls_that_show_it() {
    use Law::{CutActs, Listed, Looks, ObjectName, Once, Refused};
    let tools = tools();
    let check = |(what, more, laws): (&str, &str, &[Law])| {
        let checked = try_laws(&tools, what, more);
        assert_eq!(checked.unexpected, None, "{what}");
        assert_eq!(checked.laws.len(), 6, "{what}");
        let broken: Vec<Law> = checked.broken.iter().map(|broken| broken.law).collect();
        assert_eq!(broken, laws, "{what}: {:#?}", checked.broken);
        assert!(
            checked
                .broken
                .iter()
                .all(|broken| !broken.sequence.is_empty())
        );
    };
    let cases: [(&str, &str, &[Law]); 18] = [
        ("nothing", SPEC, &[]),
        ("nothing", REFUSED, &[]),
        ("name-by-time", SPEC, &[ObjectName, Listed]),
        ("name-by-kind", SPEC, &[ObjectName, Listed]),
        ("look-makes", SPEC, &[Looks, Once, CutActs]),
        ("look-removes", SPEC, &[ObjectName, Looks, Once, Listed]),
        ("makes-once", SPEC, &[Once]),
        ("makes-other", SPEC, &[Once]),
        ("removes-once", SPEC, &[Once, CutActs]),
        ("part-unknown", SPEC, &[CutActs, Listed]),
        ("part-left", SPEC, &[CutActs, Listed]),
        ("refuses-errors", SPEC, &[Refused]),
        ("refuses-late", REFUSED, &[Refused]),
        ("makes-blindly", SPEC, &[Refused]),
        ("lists-less", SPEC, &[Listed]),
        ("lists-more", SPEC, &[Listed]),
        ("lists-no-parts", SPEC, &[Listed]),
        ("lists-no-parts", REFUSED, &[]),
    ];
    std::thread::scope(|scope| {
        let check = &check;
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

#[test]
fn a_broken_promise_is_told_in_a_sentence() {
    let tools = tools();
    let checked = try_laws(&tools, "refuses-errors", SPEC);
    let [broken] = &checked.broken[..] else {
        panic!("{checked:#?}")
    };
    let message = &broken.message;
    let begins = "when request 1 of `make` is done, and its answer lost, it answers `refused` (ServerSilent: ";
    assert!(message.starts_with(begins), "{message}");
    assert!(
        message.ends_with("and then `look` says `partial` of the object; it is `absent`"),
        "{message}"
    );
    let calls: Vec<&str> = broken
        .sequence
        .iter()
        .map(|asked| &*asked.function)
        .collect();
    assert_eq!(calls, ["make", "look"]);
}

#[test]
fn an_outcome_that_is_not_expected_is_told_and_no_law_is_tried() {
    let tools = tools();
    for (more, expected, found) in [
        (
            "spec = '\"Ada\"'\nexpect = { result = { card = 'Bob' } }",
            r#"/card is "Bob""#,
            r#"/card is "Ada""#,
        ),
        (
            "spec = '\"refuse\"'",
            "success",
            "the error InvalidInput: it is not wanted",
        ),
        (
            // Nothing listens there.
            "settings = { url = 'http://127.0.0.1:1', breaks = 'nothing' }\ngrants = { http = { allow = ['http://127.0.0.1:1/*'] } }",
            "success",
            "the error Unsure: ServerSilent: ",
        ),
    ] {
        let checked = try_laws(&tools, "nothing", more);
        let unexpected = checked.unexpected.unwrap();
        assert_eq!(unexpected.expected, expected);
        assert!(unexpected.found.starts_with(found), "{unexpected:?}");
        assert_eq!((checked.laws, checked.broken), (vec![], vec![]));
    }
}

#[test]
fn a_case_that_does_not_fit_is_refused() {
    let roles = BTreeSet::from([Role::External]);
    for (text, reason) in [
        ("[[case]]\nname = 'a'", "names no `kind`"),
        ("kind = 'a'\n[[case]]\nname = 'a'\ninputs = {}", "inputs"),
        (
            "kind = 'a'\n[[case]]\nname = 'a'\nexpect = { error = 'A', result = 1 }",
            "a result and an error",
        ),
    ] {
        let refused = Case::parse(text, Path::new("cases.toml"), &roles).unwrap_err();
        assert!(refused.message.contains(reason), "{refused}");
    }
}
