use acceptance::program::volume_create;

use super::program;

#[test]
fn a_database_of_a_newer_version() {
    let program = program();
    program.run(&["zones", "create", "nova"]).exits(0);
    let mut bytes = std::fs::read(program.path("cairn.db")).unwrap();
    // The user version in the header, which is the version of the schema.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    program.write("cairn.db", &bytes);
    for command in [
        &["run", &volume_create()][..],
        &["flows", "list"],
        &["zones", "create", "other"],
    ] {
        program.run(command).exits(1).says(&[
            "cairn.db was made by a newer version of Cairn (schema 99, this one knows 12)",
            "use that version, or another database with --db",
        ]);
    }
    assert!(
        std::fs::read(program.path("cairn.db")).unwrap() == bytes,
        "the file was changed"
    );
}

#[test]
fn a_file_that_is_no_database_of_cairns() {
    let program = program();
    program.write(
        "cairn.db",
        "not a database, but long enough that SQLite looks at it twice\n".repeat(20),
    );
    program
        .run(&["flows", "list"])
        .exits(1)
        .says(&["this file is no SQLite database", "--db"]);
}

/// Not even root may write below `/proc`; on other systems the path of the folder is occupied by a file.
#[test]
fn a_database_folder_that_cannot_be_written() {
    let program = program();
    program.write("file", "");
    for db in ["/proc/cairn.db", "file/cairn.db"] {
        program
            .run(&["run", &volume_create(), "--db", db])
            .exits(1)
            .says(&[
                db,
                "check that the folder exists and that you may write to it",
            ]);
    }
    assert!(!program.has_database());
}
