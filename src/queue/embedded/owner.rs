//! Who holds leases: a process with a row in the file and a lock on a file of its own, which the system lets go of when
//! the process dies, however it dies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{batch::Batch, place::sql, schema::not_writable};
use crate::queue::QueueError;

/// How long another process may take to open the queue.
const OPENING: Duration = Duration::from_secs(10);

/// This process, as the other ones see it.
pub(super) struct Owner {
    id: i64,
    name: String,
    path: PathBuf,
    lock: File,
}

impl Owner {
    /// Registers a new owner. The caller holds the directory's opening lock.
    pub(super) fn register(connection: &Connection, directory: &Path) -> Result<Self, QueueError> {
        let name = Uuid::now_v7().to_string();
        let path = lock_path(directory, &name);
        let lock = locked(&path).map_err(|error| not_writable(&path, &error))?;
        connection
            .execute(
                "INSERT INTO owner (name, beat, lost_until) VALUES (?1, ?2, 0)",
                params![name, sql(SystemTime::now().into())],
            )
            .map_err(|error| super::schema::cannot_open(directory, &error))?;
        Ok(Self { id: connection.last_insert_rowid(), name, path, lock })
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// Says that we are well; up to which token our leases were given back while we were silent.
    pub(super) fn beat(&mut self, batch: &Batch<'_>, last_token: i64) -> rusqlite::Result<i64> {
        let known = batch.execute("UPDATE owner SET beat = ?1 WHERE id = ?2", params![sql(batch.now), self.id])?;
        if known == 0 {
            return self.register_again(batch, last_token);
        }
        batch
            .connection
            .prepare_cached("SELECT lost_until FROM owner WHERE id = ?1")?
            .query_row([self.id], |row| row.get(0))
    }

    /// Somebody took our lock file away, so the others thought us dead.
    fn register_again(&mut self, batch: &Batch<'_>, last_token: i64) -> rusqlite::Result<i64> {
        tracing::warn!("the lock file of this process was removed: its leases went back");
        // Another name: whoever thought us dead may be about to remove a file of the old one.
        let name = Uuid::now_v7().to_string();
        let path = self.path.with_file_name(format!("{name}.lock"));
        if let Ok(lock) = locked(&path) {
            (self.name, self.path, self.lock) = (name, path, lock);
        }
        batch.execute(
            "INSERT INTO owner (id, name, beat, lost_until) VALUES (?1, ?2, ?3, ?4)",
            params![self.id, self.name, sql(batch.now), last_token],
        )?;
        Ok(last_token)
    }

    /// The row is gone; the lock file goes with it.
    pub(super) fn leave(self) {
        let _ = fs::remove_file(&self.path);
        drop(self.lock);
    }
}

/// Keeps other processes from opening the same queue until it is dropped: making the file and sweeping old lock files
/// are done by one at a time.
pub(super) struct Opening(#[expect(dead_code, reason = "held for its lock")] File);

impl Opening {
    /// Makes the directory if it is missing, and waits for its turn.
    pub(super) fn begin(directory: &Path) -> Result<Self, QueueError> {
        let owners = directory.join("owners");
        // Customers' words are in it: nobody else has business in there.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&owners)
            .map_err(|error| not_writable(directory, &error))?;
        make_lasting(directory);
        let path = owners.join("opening");
        let file = lock_file(&path).map_err(|error| not_writable(&path, &error))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if since.elapsed() < OPENING => {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => return Err(held(&path)),
                Err(TryLockError::Error(error)) => return Err(not_writable(&path, &error)),
            }
        }
    }
}

/// A directory that a power cut takes away takes its files along. Not every file system can be asked for this.
fn make_lasting(directory: &Path) {
    for directory in [Some(directory), directory.parent()].into_iter().flatten() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
}

fn held(path: &Path) -> QueueError {
    QueueError::Unusable(format!(
        "{}: another process has been opening the queue for {OPENING:?}; stop that process (`fuser` names it)",
        path.display()
    ))
}

/// Removes lock files that no row and no process belongs to.
pub(super) fn sweep(connection: &Connection, directory: &Path) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT name FROM owner")?;
    let known: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let Ok(files) = fs::read_dir(directory.join("owners")) else { return Ok(()) };
    for path in files.flatten().map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "lock")) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !known.iter().any(|known| known == name) && is_dead(directory, name) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// True if the process of that name no longer lives.
pub(super) fn is_dead(directory: &Path, name: &str) -> bool {
    match OpenOptions::new().read(true).write(true).open(lock_path(directory, name)) {
        // Dropping the file lets go of the lock again.
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Where the process of that name has its lock.
pub(super) fn lock_path(directory: &Path, name: &str) -> PathBuf {
    directory.join("owners").join(format!("{name}.lock"))
}

fn locked(path: &Path) -> io::Result<File> {
    let file = lock_file(path)?;
    file.try_lock()?;
    Ok(file)
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
