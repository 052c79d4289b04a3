//! Messages through a RabbitMQ broker, by the program.

mod faults;
mod kills;
mod measured;
mod oslo;
mod server;

use acceptance::program::{Program, Run, volume_create};
use acceptance::rabbit::{PASSWORD, Space};
use serde_json::Value;

/// The queue to which the program's flows send.
const TOPIC: &str = "cinder-scheduler";

/// The exchange of the receivers.
const EXCHANGE: &str = "openstack";

/// The program with `[deliver]` for a broker, and further lines.
fn program(space: &Space, more: &str) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_cairn-under-test"));
    program.write_secret("password", format!("{PASSWORD}\n"));
    program.write(
        "cairn.toml",
        format!(
            "quota.volumes = -1\nquota.gigabytes = -1\n[deliver]\ntransport = \"amqp\"\nurl = \"{}\"\n\
             password_file = \"password\"\n{more}",
            space.url()
        ),
    );
    program
}

fn create(program: &Program) -> Run {
    program.run(&[
        "run",
        &volume_create(),
        "--input",
        r#"{"size": 1}"#,
        "--json",
    ])
}

/// The messages of an outbox, as the program lists them.
fn listed(program: &Program) -> Vec<Value> {
    let list = program.json(&["outbox", "list", "--all", "--json"]);
    list.as_array().expect("a list").clone()
}
