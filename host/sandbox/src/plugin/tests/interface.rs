//! What a component imports and exports, as text.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::plugin::interface::written;

fn wit(component: &str) -> String {
    let engine = Engine::default();
    let component = wat::parse_str(component).unwrap();
    let component = Component::new(&engine, component).unwrap();
    written(&engine, &component.component_type())
}

#[test]
fn an_interface_is_written_with_the_names_of_its_types() {
    let types = r#"
        (type $level' (enum "low" "high"))
        (export "level" (type $level (eq $level')))
        (type $problem' (record (field "kind" string) (field "type" (option u32)) (field "level" $level)))
        (export "problem" (type $problem (eq $problem')))
        (export "store" (type $store (sub resource)))
        (export "[constructor]store" (func (param "size" u64) (result (own $store))))
        (export "[method]store.get" (func (param "self" (borrow $store)) (param "key" string) (result (result (list u8) (error $problem)))))
        (export "names" (func (result (tuple string (list $level)))))
    "#;
    let component = format!(
        r#"(component
            (import "a:b/things@1.0.0" (instance $things {types}))
            (alias export $things "problem" (type $problem))
            (import "a:b/other" (instance
                (alias outer 1 $problem (type $problem))
                (export "problem" (type (eq $problem)))
                (export "fails" (func (result (result (error $problem)))))))
            (import "plain" (func (param "from" bool))))"#
    );
    let expected = "\
import a:b/things@1.0.0: interface {
  enum level { low, high }
  record problem { kind: string, %type: option<u32>, level: level }
  resource store {
    constructor(size: u64) -> store;
    get: func(self: borrow<store>, key: string) -> result<list<u8>, problem>;
  }
  names: func() -> tuple<string, list<level>>;
}
import a:b/other: interface {
  use a:b/things@1.0.0.{problem};
  fails: func() -> result<_, problem>;
}
import plain: func(%from: bool);
";
    assert_eq!(wit(&component), expected);
}

#[test]
fn a_type_that_grows_without_end_is_cut() {
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for at in 1..13 {
        types += &format!("(type $t{at} (result $t{0} (error $t{0})))", at - 1);
    }
    let functions = (0..4).map(|at| format!("(import \"f{at}\" (func (param \"x\" $t12)))"));
    let text = wit(&format!(
        "(component {types} {})",
        functions.collect::<String>()
    ));
    assert!(text.len() < (64 << 10) + 100, "{} bytes", text.len());
    assert!(
        text.ends_with("// … and more\n"),
        "{}",
        &text[text.len() - 200..]
    );
}
