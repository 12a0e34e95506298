//! The file: who it belongs to, what is in it, and how a connection is opened.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::failure::{DAMAGED, name};
use crate::queue::QueueError;

/// `cfrq`: tells our files from anybody else's.
const APPLICATION_ID: u32 = 0x6366_7271;

/// Step n takes a file from version n to n + 1; a new file begins at 0. A released step never changes.
const STEPS: [&str; 4] = [
    include_str!("schema.sql"),
    include_str!("schema_held.sql"),
    include_str!("schema_notice.sql"),
    include_str!("schema_consumer.sql"),
];
const VERSION: u32 = STEPS.len() as u32;

/// How long a writer waits for another process's transaction.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Up to this size the whole file is checked at the start (about a second).
const CHECKED_SIZE: u64 = 256 << 20;

/// Opens the connection that writes, and makes or migrates the file. The caller holds the directory's opening lock.
pub(super) fn open_writer(path: &Path) -> Result<Connection, QueueError> {
    belongs_to_us(path)?;
    let opened = open(path).and_then(|mut connection| {
        let version = migrate(&mut connection)?;
        Ok((connection, version))
    });
    let (connection, newer) = opened.map_err(|error| cannot_open(path, &error))?;
    if let Newer(Some(version)) = newer {
        return Err(QueueError::Unusable(format!(
            "{} was written by a newer version of this program (schema {version}, this one knows {}); \
             run that version, or set `queue.embedded.directory` to another directory",
            path.display(),
            VERSION
        )));
    }
    prepare(&connection).map_err(|error| cannot_open(path, &error))?;
    whole(&connection, path)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, QueueError> {
    open(path)
        .and_then(|connection| connection.pragma_update(None, "query_only", true).map(|()| connection))
        .map_err(|error| cannot_open(path, &error))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    wait_for_others(&mut connection, BUSY)?;
    // Takes effect in a new file only. Rows of 2 KiB: a quarter less to write than with pages of 4 KiB.
    connection.pragma_update(None, "page_size", 8192)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// How long a statement waits for other processes. SQLite's own waits grow to 100 ms; between two busy processes that
/// starves one of them.
pub(super) fn wait_for_others(connection: &mut Connection, patience: Duration) -> rusqlite::Result<()> {
    let mut since = Instant::now();
    connection.busy_handler(Some(move |waits: i32| {
        if waits == 0 {
            since = Instant::now();
        }
        std::thread::park_timeout(Duration::from_micros(if waits < 50 { 200 } else { 2_000 }));
        since.elapsed() < patience
    }))
}

/// The version, if it is above ours.
struct Newer(Option<u32>);

fn migrate(connection: &mut Connection) -> rusqlite::Result<Newer> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(steps) = STEPS.get(version as usize..) else { return Ok(Newer(Some(version))) };
    if steps.is_empty() {
        return Ok(Newer(None));
    }
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(Newer(None))
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // Only after the tables are in the main file: `belongs_to_us` reads its first page.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16_000)
}

/// Looks at the first page by hand: SQLite itself would change a foreign file by opening it as ours.
fn belongs_to_us(path: &Path) -> Result<(), QueueError> {
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| not_writable(path, &error))?;
    let mut page = Vec::with_capacity(100);
    file.by_ref().take(100).read_to_end(&mut page).map_err(|error| not_writable(path, &error))?;
    let foreign = |what| {
        let path = path.display();
        Err(QueueError::Unusable(format!(
            "{path} {what}; move it away, or set `queue.embedded.directory` to another directory"
        )))
    };
    match page.len() {
        0 => Ok(()),
        100 if !page.starts_with(b"SQLite format 3\0") => foreign("is not a queue file"),
        100 if page[68..72] == APPLICATION_ID.to_be_bytes() => Ok(()),
        100 => foreign("is the SQLite file of another program"),
        _ => foreign("is not a queue file"),
    }
}

fn whole(connection: &Connection, path: &Path) -> Result<(), QueueError> {
    if fs::metadata(path).is_ok_and(|file| file.len() > CHECKED_SIZE) {
        return Ok(());
    }
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(_) => Err(QueueError::Unusable(format!("{}: {DAMAGED}", path.display()))),
        Err(error) => Err(cannot_open(path, &error)),
    }
}

/// What to do when SQLite could not open or read it.
pub(super) fn cannot_open(path: &Path, error: &rusqlite::Error) -> QueueError {
    use rusqlite::ErrorCode as Code;
    let advice = match error.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => DAMAGED.into(),
        // A statement that fails on tables of the right file: they are not what this version makes.
        Some(Code::Unknown) => DAMAGED.into(),
        Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => WRITABLE.into(),
        Some(Code::DiskFull) => "the disk is full; make room and start again".into(),
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            "another process holds it and does not let go; stop that process (`fuser` names it)".into()
        }
        code => format!("SQLite says {}; see to the disk and start again", name(code)),
    };
    QueueError::Unusable(format!("{}: {advice}", path.display()))
}

const WRITABLE: &str = "it cannot be written; give the account that runs this program write access to the directory \
    and what is in it, or set `queue.embedded.directory` to another directory";

/// What to do about a file or directory that cannot be made or written.
pub(super) fn not_writable(path: &Path, error: &io::Error) -> QueueError {
    QueueError::Unusable(format!("{}: {WRITABLE} ({})", path.display(), error.kind()))
}
