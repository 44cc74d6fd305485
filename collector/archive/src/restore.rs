//! Writes every stream's lines back to a file, byte for byte and in the order of the stream.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::key::{check_part, sha256_hex};
use crate::read::{ReadError, Reader};
use crate::record::Record;
use crate::store::Store;
use crate::verify::Report;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the archive holds and what is wrong with it, as [`verify`](crate::verify) says it.
    pub report: Report,
    /// The file of each stream, by identity: its lines, each with a line feed.
    pub files: BTreeMap<String, PathBuf>,
}

/// Why nothing, or not everything, was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target could not be written.
    #[error("{attempt}: {cause}")]
    Io {
        /// What was attempted, with what.
        attempt: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Files could be mixed up with those of before.
    #[error("restore to {path}: the directory is not empty; name a new one")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
}

/// A file that is being restored: its lines in the order of the segments, and where which stretch lies.
struct Draft {
    path: PathBuf,
    runs: Vec<Run>,
    length: u64,
}

/// Lines that follow each other without a hole, in the stream as in the file.
struct Run {
    offset: u64,
    end: u64,
    at: u64,
    length: u64,
}

/// Restores all streams into `directory`, which is made, or is empty: `<stream>.log` each. Memory is one segment and a
/// few words for every stretch of lines without a hole.
///
/// # Errors
/// [`RestoreError`]. Damaged segments are no error but in the report.
pub async fn restore(store: &Store, directory: &Path) -> Result<Restored, RestoreError> {
    prepare(directory)?;
    let mut reader = Reader::open(store).await?;
    let mut report = Report::default();
    let mut drafts = BTreeMap::new();
    while let Some(part) = reader.next().await? {
        report.count(&part);
        write(directory, &mut drafts, &part.records)?;
    }
    report.close(reader);
    let mut files = BTreeMap::new();
    for (stream, draft) in drafts {
        let path = draft.path.clone();
        draft.finish().map_err(|e| failed(&path, e))?;
        files.insert(stream, path);
    }
    Ok(Restored { report, files })
}

fn prepare(directory: &Path) -> Result<(), RestoreError> {
    fs::create_dir_all(directory).map_err(|e| failed(directory, e))?;
    let mut entries = fs::read_dir(directory).map_err(|e| failed(directory, e))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(RestoreError::NotEmpty { path: directory.to_owned() }),
    }
}

/// Appends the records of one segment to the files of their streams.
fn write(
    directory: &Path,
    drafts: &mut BTreeMap<String, Draft>,
    records: &[Record],
) -> Result<(), RestoreError> {
    let mut streams: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        streams.entry(&record.stream).or_default().push(record);
    }
    for (stream, records) in streams {
        let draft = drafts.entry(stream.to_owned()).or_insert_with(|| Draft::new(directory, stream));
        draft.append(&records).map_err(|e| failed(&draft.path, e))?;
    }
    Ok(())
}

impl Draft {
    fn new(directory: &Path, stream: &str) -> Self {
        Self { path: directory.join(file_name(stream)), runs: Vec::new(), length: 0 }
    }

    fn append(&mut self, records: &[&Record]) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            let length = record.line.len() as u64 + 1;
            lines.extend_from_slice(&record.line);
            lines.push(b'\n');
            match self.runs.last_mut() {
                // Lines of one record share their offset and follow each other too.
                Some(run) if run.end == record.offset || (run.offset..run.end).contains(&record.offset) => {
                    (run.end, run.length) = (run.end.max(record.end), run.length + length);
                }
                _ => {
                    let (offset, end, at) = (record.offset, record.end, self.length);
                    self.runs.push(Run { offset, end, at, length });
                }
            }
            self.length += length;
        }
        File::options().create(true).append(true).open(&self.path)?.write_all(&lines)
    }

    /// Brings the stretches into the order of the stream if they are not.
    fn finish(mut self) -> io::Result<()> {
        if self.runs.is_sorted_by_key(|run| run.offset) {
            return File::open(&self.path)?.sync_all();
        }
        self.runs.sort_by_key(|run| run.offset);
        let sorted = self.path.with_extension("sorted");
        let (mut from, mut to) = (File::open(&self.path)?, File::create_new(&sorted)?);
        for run in &self.runs {
            from.seek(SeekFrom::Start(run.at))?;
            io::copy(&mut (&mut from).take(run.length), &mut to)?;
        }
        to.sync_all()?;
        fs::rename(&sorted, &self.path)
    }
}

/// The stream's identity where it can be a file name, else its hash: it is text that others wrote.
fn file_name(stream: &str) -> String {
    match check_part(stream) {
        Ok(()) => format!("{stream}.log"),
        Err(_) => format!("sha256-{}.log", sha256_hex(stream.as_bytes())),
    }
}

fn failed(path: &Path, cause: io::Error) -> RestoreError {
    RestoreError::Io { attempt: format!("restore to {}", path.display()), cause }
}
