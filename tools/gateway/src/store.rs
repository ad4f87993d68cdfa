//! What a restart keeps: sessions, messages, tool calls, plans, fills, tokens, and the epochs, offsets and
//! events of the channels that tell of them. One transaction a turn; nothing is told before it is in.

use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, TableDefinition};

/// Entities by kind and id: `session/sess_…`.
const ENTITIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entities");
/// Messages of a session in their order.
const MESSAGES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("messages");
/// Trades of a project in the order in which they were told.
const FILLS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("fills");
/// Events of a channel by their number, as the frames that were sent.
const EVENTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("events");
/// Epoch and last number of a channel.
const HEADS: TableDefinition<'_, &str, (&str, u64)> = TableDefinition::new("heads");

/// The store can't be read or written: the gateway stops rather than go on from what it can't keep.
#[derive(Debug, thiserror::Error)]
#[error("the store: {0}")]
pub struct StoreError(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> StoreError {
        StoreError(Box::new(error.into()))
    }
}

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Write {
    Entity {
        key: String,
        json: Vec<u8>,
    },
    Message {
        session: String,
        number: u64,
        json: Vec<u8>,
    },
    Fill {
        project: String,
        number: u64,
        json: Vec<u8>,
    },
    /// An event of a channel; those numbered `forget` and below are dropped.
    Event {
        channel: String,
        epoch: String,
        offset: u64,
        frame: Vec<u8>,
        forget: u64,
    },
    /// A channel that is new.
    Head {
        channel: String,
        epoch: String,
    },
}

#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    batch: Vec<Write>,
    pub(crate) commits: u64,
}

impl Store {
    pub(crate) fn open(path: Option<&Path>) -> Result<Store, StoreError> {
        let database = match path {
            Some(path) => Database::create(path)?,
            None => Database::builder().create_with_backend(InMemoryBackend::new())?,
        };
        let transaction = database.begin_write()?;
        transaction.open_table(ENTITIES)?;
        transaction.open_table(MESSAGES)?;
        transaction.open_table(FILLS)?;
        transaction.open_table(EVENTS)?;
        transaction.open_table(HEADS)?;
        transaction.commit()?;
        Ok(Store {
            database,
            batch: Vec::new(),
            commits: 0,
        })
    }

    pub(crate) fn put(&mut self, write: Write) {
        self.batch.push(write);
    }

    pub(crate) fn put_entity(&mut self, kind: &str, id: &str, value: &impl serde::Serialize) {
        self.put(Write::Entity {
            key: format!("{kind}/{id}"),
            // Our own types have text keys and plain numbers: they can always be written.
            json: serde_json::to_vec(value).unwrap_or_default(),
        });
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.batch.is_empty()
    }

    /// Writes all that waits, durably.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        {
            let mut entities = transaction.open_table(ENTITIES)?;
            let mut messages = transaction.open_table(MESSAGES)?;
            let mut fills = transaction.open_table(FILLS)?;
            let mut events = transaction.open_table(EVENTS)?;
            let mut heads = transaction.open_table(HEADS)?;
            for write in self.batch.drain(..) {
                match write {
                    Write::Entity { key, json } => {
                        entities.insert(key.as_str(), json.as_slice())?;
                    }
                    Write::Message {
                        session,
                        number,
                        json,
                    } => {
                        messages.insert((session.as_str(), number), json.as_slice())?;
                    }
                    Write::Fill {
                        project,
                        number,
                        json,
                    } => {
                        fills.insert((project.as_str(), number), json.as_slice())?;
                    }
                    Write::Event {
                        channel,
                        epoch,
                        offset,
                        frame,
                        forget,
                    } => {
                        events.insert((channel.as_str(), offset), frame.as_slice())?;
                        heads.insert(channel.as_str(), (epoch.as_str(), offset))?;
                        if forget > 0 {
                            events.remove((channel.as_str(), forget))?;
                        }
                    }
                    Write::Head { channel, epoch } => {
                        heads.insert(channel.as_str(), (epoch.as_str(), 0))?;
                    }
                }
            }
        }
        transaction.commit()?;
        self.commits += 1;
        Ok(())
    }

    /// Every entity of a kind. One that can't be read (written by another version) is left out and
    /// counted in the log.
    pub(crate) fn entities<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
    ) -> Result<Vec<(String, T)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(ENTITIES)?;
        let (from, to) = (format!("{kind}/"), format!("{kind}0"));
        let mut found = Vec::new();
        for entry in table.range(from.as_str()..to.as_str())? {
            let (key, value) = entry?;
            let id = key.value().split_once('/').map_or("", |(_, id)| id);
            match serde_json::from_slice(value.value()) {
                Ok(entity) => found.push((id.to_owned(), entity)),
                Err(error) => tracing::warn!(%error, kind, id, "an entity can't be read"),
            }
        }
        Ok(found)
    }

    pub(crate) fn entity<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        id: &str,
    ) -> Result<Option<T>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(ENTITIES)?;
        let value = table.get(format!("{kind}/{id}").as_str())?;
        Ok(value.and_then(|value| serde_json::from_slice(value.value()).ok()))
    }

    /// The newest messages of a session, oldest first, with their numbers.
    pub(crate) fn messages<T: serde::de::DeserializeOwned>(
        &self,
        session: &str,
        newest: usize,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(MESSAGES)?;
        let mut found = Vec::new();
        for entry in table
            .range((session, 0)..=(session, u64::MAX))?
            .rev()
            .take(newest)
        {
            let (key, value) = entry?;
            if let Ok(message) = serde_json::from_slice(value.value()) {
                found.push((key.value().1, message));
            }
        }
        found.reverse();
        Ok(found)
    }

    /// One message of a session.
    pub(crate) fn message<T: serde::de::DeserializeOwned>(
        &self,
        session: &str,
        number: u64,
    ) -> Result<Option<T>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(MESSAGES)?;
        let value = table.get((session, number))?;
        Ok(value.and_then(|value| serde_json::from_slice(value.value()).ok()))
    }

    /// A project's fills, newest last.
    #[cfg(test)]
    pub(crate) fn fills<T: serde::de::DeserializeOwned>(
        &self,
        project: &str,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(FILLS)?;
        let mut found = Vec::new();
        for entry in table.range((project, 0)..=(project, u64::MAX))? {
            let (key, value) = entry?;
            if let Ok(fill) = serde_json::from_slice(value.value()) {
                found.push((key.value().1, fill));
            }
        }
        Ok(found)
    }

    /// Number of a project's last fill.
    pub(crate) fn last_fill(&self, project: &str) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(FILLS)?;
        let last = table.range((project, 0)..=(project, u64::MAX))?.next_back();
        Ok(match last {
            Some(entry) => entry?.0.value().1,
            None => 0,
        })
    }

    /// Epoch and last number of a channel.
    pub(crate) fn head(&self, channel: &str) -> Result<Option<(String, u64)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(HEADS)?;
        let head = table.get(channel)?;
        Ok(head.map(|head| {
            let (epoch, offset) = head.value();
            (epoch.to_owned(), offset)
        }))
    }

    /// A channel's newest events, oldest first, without holes: as many as are kept, up to `newest`.
    pub(crate) fn events(&self, channel: &str, newest: usize) -> Result<Vec<String>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(EVENTS)?;
        let mut found = Vec::new();
        for entry in table
            .range((channel, 0)..=(channel, u64::MAX))?
            .rev()
            .take(newest)
        {
            let (_, frame) = entry?;
            found.push(String::from_utf8_lossy(frame.value()).into_owned());
        }
        found.reverse();
        Ok(found)
    }
}
