//! The page of a version of a deployed flow.

use acceptance::corpus::Guest;
use acceptance::flows::GREET;
use acceptance::serving::Serving;

use super::deployed;

#[test]
fn a_version_shows_who_provides_what_and_what_changed_since_the_one_before() {
    let program = deployed("");
    program.write("flood.wasm", Guest::LogFlood.bytes());
    let other = GREET.replace(
        "plugins.inject = { builtin = \"inject\"",
        "plugins.extra = { path = \"flood.wasm\" }\n    plugins.inject = { builtin = \"inject\"",
    );
    let other = other.replace(
        "{ plugin = \"hello\" }",
        "{ plugin = \"extra\" }, { plugin = \"hello\" }",
    );
    program.write("greet.toml", other);
    program
        .run(&["flow", "deploy", "greet.toml", "--accept"])
        .exits(0);
    let serving = Serving::start(&program, &[]);
    let first = serving.get("/ui/deployed/greet/1").is(200).body;
    assert!(!first.contains("version 1"), "nothing precedes it: {first}");
    let page = serving.get("/ui/deployed/greet/2").is(200).body;
    assert_eq!(page.matches("as in version 1").count(), 3, "{page}");
    assert_eq!(page.matches("new since version 1").count(), 1, "{page}");
    assert!(
        page.contains("<bdi>name</bdi> <span class=\"quiet\">from</span> <bdi>inject</bdi>"),
        "{page}"
    );
}

#[test]
fn a_component_shows_its_interfaces() {
    let program = deployed("");
    let serving = Serving::start(&program, &[]);
    let path = "/ui/deployed/greet/1";
    let page = serving.get(path).is(200).body;
    let link = page
        .split('"')
        .find(|part| part.contains("?component="))
        .unwrap();
    let (link, anchor) = link.split_once('#').unwrap();
    assert_eq!(anchor, "wit");
    let page = serving.get(link).is(200).body;
    for part in [
        "Interfaces of ",
        "import cairn:plugin/context@0.1.0: interface {",
        "export cairn:plugin/task@0.1.0: interface {",
        "call: func(inputs: string) -&gt; result&lt;string, error&gt;;",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // What no component of the plan has is not looked for, and no error.
    for component in ["0".repeat(64), "%3Cscript%3E".to_owned()] {
        let page = serving
            .get(&format!("{path}?component={component}"))
            .is(200);
        assert!(!page.body.contains("Interfaces of "));
    }
}
