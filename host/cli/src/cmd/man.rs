//! `cairn man`.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use cairn::whole::Whole;
use cairn::{Diagnostic, file};
use clap::Args;

use crate::exit::{Exit, Failure};
use crate::output::{self, count};

/// The most bytes of a file that is compared with a page.
const LONGEST: u64 = 1 << 20;

/// Write the manual pages: cairn.1, and one for each command
///
/// Pages that an earlier version wrote are replaced. A file with the name of a page that is no such page is kept, and nothing is written then.
/// `man -l FOLDER/cairn.1` shows a page; `man cairn-run` finds the pages in the folder man1 of a folder that `manpath` prints, such as
/// /usr/local/share/man/man1.
#[derive(Args, Debug)]
pub struct Man {
    /// Folder to write to; it is created if it does not exist
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Man {
    pub fn run(self, grammar: clap::Command) -> Result<(), Failure> {
        let mut grammar = grammar.disable_help_subcommand(true);
        grammar.build();
        let mut pages = Vec::new();
        add(grammar, &mut pages).map_err(|error| Failure::host(error.to_string()))?;
        let taken: Vec<&str> = pages
            .iter()
            .filter(|page| page.is_taken(&self.folder))
            .map(|page| page.file.as_str())
            .collect();
        if !taken.is_empty() {
            return Err(
                Diagnostic::new(format!("no manual page of Cairn: {}", taken.join(", ")))
                    .at(&self.folder, None)
                    .help("move it, or name another folder; nothing was changed")
                    .into(),
            );
        }
        fs::create_dir_all(&self.folder)
            .and_then(|()| pages.iter().try_for_each(|page| page.write(&self.folder)))
            .map_err(|error| self.unwritten(&error))?;
        output::print(&format!("wrote {}\n", count(pages.len(), "manual page")))
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        let unwritten =
            Diagnostic::new(format!("the pages cannot be written: {error}")).at(&self.folder, None);
        match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
                unwritten.help("name another folder").into()
            }
            _ => Failure {
                exit: Exit::Host,
                diagnostic: unwritten
                    .help("check that you may write there, and that the disk is not full"),
            },
        }
    }
}

/// A manual page.
struct Page {
    /// The name of its file, such as `cairn-run.1`.
    file: String,
    text: Vec<u8>,
}

/// Adds the page of a command, and those of its subcommands.
fn add(command: clap::Command, pages: &mut Vec<Page>) -> io::Result<()> {
    for below in command.get_subcommands() {
        if !below.is_hide_set() {
            add(below.clone(), pages)?;
        }
    }
    // A page shows what only the long help does.
    let command = command.mut_args(|argument| argument.hide_short_help(false));
    let page = clap_mangen::Man::new(command)
        .source(concat!("cairn ", env!("CARGO_PKG_VERSION")))
        .manual("Cairn");
    let mut text = Vec::new();
    page.render(&mut text)?;
    pages.push(Page {
        file: page.get_filename(),
        text,
    });
    Ok(())
}

impl Page {
    /// Returns whether another file than an earlier version of this page has its name.
    fn is_taken(&self, folder: &Path) -> bool {
        let path = folder.join(&self.file);
        let name = self.file.trim_end_matches(".1");
        match path.symlink_metadata() {
            Ok(found) if found.is_file() => file::text(&path, LONGEST)
                .map_or(true, |text| !text.contains(&format!("\n.TH {name} 1 "))),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let how = Whole {
            mode: 0o644,
            replaces: true,
            is_durable: false,
        };
        how.write(&folder.join(&self.file), |file| file.write_all(&self.text))
    }
}
