use std::fs;
use std::io::{self, Read as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use cairn::store::view::Listing;
use cairn::value::DigestWriter;
use cairn::volumes::operator::{NewImage, OperateVolumes as _, kind};
use cairn::{Diagnostic, file};
use clap::{Args, Subcommand};

use super::{id_of, look_up};
use crate::args::{Format, Who, word};
use crate::exit::Failure;
use crate::output;
use crate::page::Page;
use crate::session::Session;

/// Register images, from which volumes can be created
#[derive(Debug, Subcommand)]
pub enum Images {
    /// Register an image from its file, with its size and SHA-256; the file stays where it is
    Create(Create),
    /// List the images
    List(List),
    /// Show an image
    Show(Show),
    /// Remove an image; its file stays
    Delete(Delete),
}

#[derive(Args, Debug)]
pub struct Create {
    /// File of the image
    file: PathBuf,
    /// Name [default: the file's name]
    #[arg(long, value_parser = word)]
    name: Option<String>,
    /// Minimum size of a volume created from it, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    min_disk: i64,
    /// For the requester's project only, instead of for every project
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    page: Page,
}

#[derive(Args, Debug)]
pub struct Show {
    /// Name or id of the image; the id may be shortened
    image: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    format: Format,
}

#[derive(Args, Debug)]
pub struct Delete {
    /// Name or full id of the image
    image: String,
    #[command(flatten)]
    who: Who,
}

impl Images {
    pub fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(session),
            Self::List(list) => {
                let requester = session.requester(&list.who)?;
                let project = requester.project_id.as_str();
                let listing = Listing {
                    project: (!requester.is_admin).then_some(project),
                    ids: (list.page.after(), Bound::Unbounded),
                    limit: list.page.to_read(None),
                    ..Listing::default()
                };
                let reader = session.reader()?;
                let images = reader.view(&requester).page(&kind::IMAGE, listing)?;
                let columns = ["id", "name", "size", "min_disk", "status"];
                list.page.objects(session, &columns, images)
            }
            Self::Show(show) => {
                let requester = session.requester(&show.who)?;
                let image = look_up(
                    &session.reader()?.view(&requester),
                    &kind::IMAGE,
                    &show.image,
                )?;
                output::object(&image, show.format)
            }
            Self::Delete(delete) => {
                let requester = session.requester(&delete.who)?;
                session.store()?.admin(&requester, |admin| {
                    let id = id_of(&admin.view(), &kind::IMAGE, &delete.image)?;
                    admin.delete_image(&id)
                })?;
                Ok(())
            }
        }
    }
}

impl Create {
    fn run(self, session: &Session) -> Result<(), Failure> {
        let requester = session.requester(&self.who)?;
        let (size, checksum, path) = measure(&self.file).map_err(|error| {
            Diagnostic::new(format!("the image cannot be read: {error}"))
                .at(&self.file, None)
                .help("name an existing regular file that you may read")
        })?;
        let file_name = self
            .file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let new = NewImage {
            name: self.name.or(file_name).unwrap_or_default(),
            size,
            checksum: Some(checksum),
            min_disk: self.min_disk,
            project_id: self.private.then(|| requester.project_id.clone()),
            path: Some(path.display().to_string()),
        };
        let image = session.change(&requester, |admin| {
            let id = admin.create_image(&new)?;
            look_up(&admin.view(), &kind::IMAGE, &id)
        })?;
        output::object(&image, self.format)
    }
}

/// Returns the size, the SHA-256 and the full path of a file of any size.
fn measure(path: &Path) -> io::Result<(i64, String, PathBuf)> {
    let mut file = file::open(path)?;
    let mut digest = DigestWriter::default();
    let mut size: i64 = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, digest.finish().to_string(), fs::canonicalize(path)?));
        }
        digest.update(&buffer[..read]);
        size = size.saturating_add(i64::try_from(read).unwrap_or(i64::MAX));
    }
}
