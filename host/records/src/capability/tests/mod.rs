//! Tests how grants are parsed, narrowed and enforced.

mod calls;

use std::path::Path;

use cairn_manifest::document::Document;
use cairn_manifest::manifest::{Grant, GrantKind as _};

use super::{Access, Records};

fn parse(value: &str) -> Result<Option<Grant>, String> {
    let text = format!("records = {value}");
    let document = Document::new(&text, Path::new("flow.toml")).unwrap();
    let entries = document.parse().unwrap();
    let item = document.root(&entries).get("records").unwrap();
    Records.parse(&item).map_err(|error| error.to_string())
}

fn grant(value: &str) -> Grant {
    parse(value).unwrap().unwrap()
}

#[test]
fn a_grant_says_which_collections_and_whether_they_may_be_written() {
    assert_eq!(parse("false"), Ok(None));
    assert_eq!(grant("true"), Grant::all());
    assert_eq!(
        grant("{ access = 'write' }"),
        Grant::all(),
        "equal grants are equal JSON"
    );
    let narrow = grant("{ collections = ['dns', 'ip_*'], access = 'read' }");
    assert_eq!(Records::access(&narrow), Access::Read);
    for (collection, reached) in [("dns", true), ("ip_pool", true), ("names", false)] {
        assert_eq!(
            Records::reaches(&narrow, collection),
            reached,
            "{collection}"
        );
    }
}

#[test]
fn two_grants_together_reach_what_each_of_them_does() {
    let read = "{ access = 'read' }";
    let dns = "{ collections = ['dns'] }";
    let dns_read = "{ collections = ['dns'], access = 'read' }";
    for (one, other, both) in [
        ("true", "true", Some("true")),
        ("true", read, Some(read)),
        (read, dns, Some(dns_read)),
        (dns, "{ collections = ['d*', 'names'] }", Some(dns)),
        (dns_read, "true", Some(dns_read)),
        (dns, "{ collections = ['names'] }", None),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let found = Records.within(&grant(one), &grant(other));
            assert_eq!(found, both.map(grant), "{one} and {other}");
        }
    }
}

#[test]
fn what_is_no_grant_is_refused_with_the_fix() {
    for (value, expected) in [
        (
            "1",
            "`records` must be true, false, or a table that narrows the grant",
        ),
        ("{}", "`records` narrows nothing"),
        (
            "{ access = 'all' }",
            "`records.access` is `all`\n  --> flow.toml:1\n  help: write \"read\" or \"write\"",
        ),
        (
            "{ collection = ['dns'] }",
            "unknown key `collection` in [records]",
        ),
        ("{ collections = [] }", "`records.collections` is empty"),
    ] {
        let error = parse(value).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}
