//! Commands of the user's own.

use std::marker::PhantomData;
use std::time::Duration;

use bson::{Document, RawDocumentBuf};

use super::Database;
use crate::client_session::ClientSession;
use crate::cursor::{Bounds, Cursor, CursorSettings};
use crate::driver::execute::execute;
use crate::engine::op::{
    self, CursorTime, CursorTimeOptions, CursorType, TimeoutMode, ValueArgument,
};
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::settings::{Settings, awaited, setters};

/// A command: a document whose first field names it.
#[derive(Clone, Debug)]
pub struct Command(Result<RawDocumentBuf>);

impl Command {
    pub(crate) fn into_raw(self) -> Result<RawDocumentBuf> {
        self.0
    }
}

impl From<Document> for Command {
    fn from(document: Document) -> Self {
        Self(RawDocumentBuf::try_from(&document).map_err(Error::bson))
    }
}

impl From<RawDocumentBuf> for Command {
    fn from(document: RawDocumentBuf) -> Self {
        Self(Ok(document))
    }
}

/// A command to be run; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct RunCommand {
    database: Database,
    command: Command,
    settings: Settings,
}

impl RunCommand {
    pub(super) fn new(database: Database, command: Command) -> Self {
        Self { database, command, settings: Settings::default() }
    }

    setters! {
        /// Which server runs the command; by default the primary.
        read_preference: ReadPreference => settings.read_preference;
        /// How long it may take as a whole (`timeoutMS`); by default as the database says.
        ///
        /// Where there is a time-out, `maxTimeMS` is added to the command: leave it out of your
        /// own.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
    }

    /// Gives the reply as raw BSON.
    pub fn raw(self) -> RunCommandRaw {
        RunCommandRaw(self)
    }

    async fn run_raw(self) -> Result<RawDocumentBuf> {
        let mut operation = op::RunCommand::new(self.command.0?)?;
        let route = self.settings.command(&self.database);
        let executed = execute(self.database.client().shared(), &mut operation, &route).await?;
        Ok(executed.output)
    }

    async fn run(self) -> Result<Document> {
        Document::try_from(self.run_raw().await?).map_err(Error::bson)
    }
}

awaited!(RunCommand => Document);

/// A command whose reply is wanted as raw BSON; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct RunCommandRaw(RunCommand);

impl RunCommandRaw {
    async fn run(self) -> Result<RawDocumentBuf> {
        self.0.run_raw().await
    }
}

awaited!(RunCommandRaw => RawDocumentBuf);

/// A command whose reply opens a cursor; `.await` runs it and gives a [`Cursor`].
///
/// What is set here is for the fetches behind the first (`getMore`); what the first batch is to be
/// like stands in the command itself (run-command "Executing `getMore` Commands").
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct RunCursorCommand<T = Document> {
    command: RunCommand,
    batch_size: Option<u32>,
    comment: Option<ValueArgument>,
    time: CursorTimeOptions,
    read: PhantomData<fn() -> T>,
}

impl RunCursorCommand {
    pub(super) fn new(database: Database, command: Command) -> Self {
        let (command, time) = (RunCommand::new(database, command), CursorTimeOptions::default());
        Self { command, batch_size: None, comment: None, time, read: PhantomData }
    }
}

impl<T> RunCursorCommand<T> {
    /// The same command, its results read as `U`.
    pub fn with_type<U>(self) -> RunCursorCommand<U> {
        let Self { command, batch_size, comment, time, .. } = self;
        RunCursorCommand { command, batch_size, comment, time, read: PhantomData }
    }

    /// What cursor the command opens: it must ask for the same by its own fields.
    pub fn cursor_type(mut self, cursor_type: CursorType) -> Self {
        self.time.cursor_type = cursor_type;
        self
    }

    setters! {
        /// Which server runs the command, and has its cursor; by default the primary.
        read_preference: ReadPreference => command.settings.read_preference;
        /// Documents of each further batch.
        batch_size: u32 => batch_size;
        /// How long the server may work on each further batch, or wait for it. With `timeout` only
        /// for [`CursorType::TailableAwait`], and less than that.
        max_time: Duration => time.max_await_time;
        /// Appears in the server's log and profile with each fetch; servers of 4.4 and later.
        comment: ValueArgument => comment;
        /// How long it may take as a whole (`timeoutMS`); by default as the database says.
        ///
        /// Where there is a time-out, `maxTimeMS` is added to the command: leave it out of your
        /// own.
        timeout: Duration => command.settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => command.settings.session;
        /// What `timeout` bounds: by default everything up to the cursor's end; of a tailable
        /// cursor each step of the iteration.
        timeout_mode: TimeoutMode => time.mode;
    }

    async fn run(self) -> Result<Cursor<T>> {
        let Self { command: RunCommand { database, command, settings }, .. } = self;
        let (batch_size, comment, mut time) = (self.batch_size, self.comment, self.time);
        let mut operation = op::RunCursorCommand(op::RunCommand::new(command.0?)?);
        let mut route = settings.command(&database);
        if time.max_await_time.is_some() && time.cursor_type != CursorType::TailableAwait {
            if route.budget.is_set() {
                // Run-command: "Drivers SHOULD raise an error if both [...] are specified".
                let message = "max_time of a cursor that does not wait goes with no time-out";
                return Err(Error::invalid_argument(message));
            }
            // It is sent whatever the cursor is.
            time.cursor_type = CursorType::TailableAwait;
        }
        let (time, budget) = CursorTime::new(route.budget, time)?;
        route.budget = budget;
        let bounds = Bounds::new(None, batch_size);
        let client = database.client();
        let first = execute(client.shared(), &mut operation, &route).await?;
        Ok(Cursor::new(client.clone(), first, CursorSettings { bounds, comment, time }))
    }
}

awaited!(for<T: 'static> RunCursorCommand<T> => Cursor<T>);
