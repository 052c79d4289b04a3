//! What is read of several flows in one statement.

use cairn_effects::event::LogLevel;

use super::upkeep::boss;
use super::*;
use crate::operators::on_disk;

#[test]
fn flows_with_long_journals_are_left_out_of_what_is_read_together() {
    let store = memory();
    let flows = [(); 3].map(|()| begin(&store, &ann()).flow);
    let long = Event::Log {
        task: TaskId::new(),
        level: LogLevel::Info,
        // It does not get shorter when it is packed.
        message: (0..20_000).map(|_| FlowId::new().to_string()).collect(),
    };
    store.append(flows[1], &[long]).unwrap();
    store.flush();
    let page = [flows[0], flows[1], flows[2], FlowId::new()];
    let found = store.read(&boss(), |view| Ok(on_disk::together(view.sql(), &page)?));
    let found = found.expect("a statement that this database understands");
    let lengths = page.map(|flow| found.get(&flow).map(|one| one.journal.len()));
    assert_eq!(lengths, [Some(2), None, Some(2), None]);
}
