//! Sessions, their messages, agents, tools and plans.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tickwire::Nanos;
use tickwire::operator::{Instruction, ReplyId, RunId};

use super::answers::{Answering, SentBefore};
use super::approvals::CallRecord;
use super::frames::{Outcome, answer};
use super::{Core, Run, RunRecord};
use crate::auth::{Identity, hex, sha256};
use crate::protocol::*;
use crate::store::{StoreError, Write};

/// What a call with an idempotency key gave.
#[derive(Debug, Serialize, Deserialize)]
struct Repeatable {
    /// Of what was asked: the same key with another question is a mistake.
    asked: String,
    message_id: String,
    /// Of a message: the answer's id.
    reply_id: Option<String>,
}

pub(super) fn not_found(what: &str) -> ErrorBody {
    ErrorBody::new(Code::NotFound, format!("no such {what}"))
}

fn repeat_id(identity: &Identity, method: &str, key: &str) -> String {
    // Hashed, so that what a client chose can't look like another's.
    let text = json!([identity.user, method, key]).to_string();
    hex(&sha256(text.as_bytes()))
}

impl Core {
    // What is stored.

    /// Takes up what was there before the gateway was started.
    pub(super) fn restore(&mut self) -> Result<(), StoreError> {
        for (id, record) in self.store.entities::<RunRecord>("session")? {
            let RunRecord {
                session,
                creator,
                params,
                todos,
                todo_version,
            } = record;
            let messages = self.store.messages::<Message>(&id, 1)?;
            let next_message = messages.last().map_or(0, |(number, _)| number + 1);
            let run = RunId(self.next_number());
            let is_active = session.status == SessionStatus::Active;
            let run = Run {
                session,
                creator,
                params,
                todos,
                todo_version,
                run,
                next_message,
                answering: None,
            };
            self.runs.insert(id.clone(), run);
            if is_active {
                self.begin(&id);
                self.end_stale_answers(&id, messages);
            }
        }
        for (id, record) in self.store.entities::<CallRecord>("call")? {
            self.restore_call(&id, record);
        }
        Ok(())
    }

    /// Tells the strategy that a run has begun.
    fn begin(&mut self, session: &str) {
        if let Some(run) = self.runs.get(session) {
            let params = serde_json::to_string(&run.params).unwrap_or_default();
            let begin = Instruction::Begin {
                run: run.run,
                params: params.into(),
            };
            if self.crew.send(&run.session.agent, begin).is_err() {
                tracing::warn!(session, "the strategy was not told that its run begins");
            }
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn save_run(&mut self, session: &str) {
        let Some(run) = self.runs.get(session) else {
            return;
        };
        let record = RunRecord {
            session: run.session.clone(),
            creator: run.creator.clone(),
            params: run.params.clone(),
            todos: run.todos.clone(),
            todo_version: run.todo_version,
        };
        self.store.put_entity("session", session, &record);
    }

    pub(super) fn save_message(&mut self, session: &str, number: u64, message: &Message) {
        self.store.put(Write::Message {
            session: session.to_owned(),
            number,
            json: serde_json::to_vec(message).unwrap_or_default(),
        });
    }

    /// The newest messages of a session, oldest first, as they are now.
    pub(super) fn messages_of(&mut self, session: &str, newest: usize) -> Vec<(u64, Message)> {
        self.save_answers();
        let read = self
            .store
            .commit()
            .and_then(|()| self.store.messages(session, newest));
        read.unwrap_or_else(|error| {
            self.fatal = Some(error);
            Vec::new()
        })
    }

    /// One message of a session as it is stored.
    pub(super) fn message(&mut self, session: &str, number: u64) -> Option<Message> {
        let read = self
            .store
            .commit()
            .and_then(|()| self.store.message(session, number));
        read.unwrap_or_else(|error| {
            self.fatal = Some(error);
            None
        })
    }

    fn repeated(&mut self, id: &str, asked: &str) -> Result<Option<Repeatable>, ErrorBody> {
        let read = self
            .store
            .commit()
            .and_then(|()| self.store.entity("repeat", id));
        let before: Option<Repeatable> = read.unwrap_or_else(|error| {
            self.fatal = Some(error);
            None
        });
        match before {
            Some(before) if before.asked != asked => Err(ErrorBody::new(
                Code::Conflict,
                "the idempotency key was used for something else",
            )),
            before => Ok(before),
        }
    }

    // Who may.

    /// A session that `identity` may see.
    pub(super) fn run(&self, identity: &Identity, session: &str) -> Result<&Run, ErrorBody> {
        let run = self.runs.get(session).ok_or_else(|| not_found("session"))?;
        self.may_on(identity, &run.session.project_id)?;
        Ok(run)
    }

    pub(super) fn may_on(&self, identity: &Identity, project: &str) -> Result<(), ErrorBody> {
        if identity.may_on(project) {
            Ok(())
        } else {
            let words = "the token does not cover this project";
            Err(ErrorBody::new(Code::Forbidden, words))
        }
    }

    fn active(&self, identity: &Identity, session: &str) -> Result<&Run, ErrorBody> {
        let run = self.run(identity, session)?;
        match run.session.status {
            SessionStatus::Active => Ok(run),
            SessionStatus::Archived => {
                Err(ErrorBody::new(Code::Conflict, "the session is archived"))
            }
        }
    }

    // Sessions.

    pub(super) fn sessions_create(
        &mut self,
        identity: &Identity,
        params: SessionsCreate,
    ) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        let repeat = params.idempotency_key.as_ref().map(|key| {
            let asked = SessionsCreate {
                idempotency_key: None,
                ..params.clone()
            };
            let asked = serde_json::to_string(&asked).unwrap_or_default();
            let id = repeat_id(identity, "sessions.create", key);
            (id, hex(&sha256(asked.as_bytes())))
        });
        if let Some((id, asked)) = &repeat
            && let Some(before) = self.repeated(id, asked)?
        {
            let run = self.runs.get(&before.message_id);
            let run = run.ok_or_else(|| not_found("session"))?;
            return answer(&run.session);
        }
        if self.crew.card(&params.agent).is_none() {
            return Err(not_found("agent"));
        }
        if self.desks.of(params.mode, &params.project_id).is_none() {
            let words = match params.mode {
                Mode::Replay => "this gateway has no recording to replay",
                _ => "this gateway has no account for this project and mode",
            };
            return Err(ErrorBody::field("params.mode", words));
        }
        let active = self.runs.values().filter(|run| {
            run.session.status == SessionStatus::Active
                && run.session.project_id == *params.project_id
        });
        let sessions_max = self.config.limits.sessions_max;
        if active.count() >= sessions_max {
            let words = format!("{sessions_max} active sessions a project");
            return Err(ErrorBody::new(Code::LimitExceeded, words));
        }
        let now_ms = self.now.as_millis();
        let id = self.ids.draw("sess", self.now);
        let title = params
            .title
            .map_or_else(|| "New session".to_owned(), Text::into_string);
        let session = Session {
            id: id.clone(),
            project_id: params.project_id.into_string(),
            agent: params.agent.into_string(),
            title,
            mode: params.mode,
            status: SessionStatus::Active,
            created_at: now_ms,
            updated_at: now_ms,
        };
        let was = self.agent_status(&session.agent);
        let run = Run {
            session: session.clone(),
            creator: identity.user.clone(),
            params: params.params,
            todos: Vec::new(),
            todo_version: 0,
            run: RunId(self.next_number()),
            next_message: 0,
            answering: None,
        };
        self.runs.insert(id.clone(), run);
        self.save_run(&id);
        if let Some((repeat, asked)) = repeat {
            let given = Repeatable {
                asked,
                message_id: id.clone(),
                reply_id: None,
            };
            self.store.put_entity("repeat", &repeat, &given);
        }
        self.begin(&id);
        self.tell_session(&id);
        self.tell_agent(&session.agent, was, None);
        answer(&session)
    }

    pub(super) fn tell_session(&mut self, id: &str) {
        let Some(run) = self.runs.get(id) else { return };
        let session = run.session.clone();
        let project = Channel::Project(session.project_id.clone());
        let event = EventData::SessionUpdated(SessionEvent { session });
        self.tell(&Channel::Session(id.to_owned()), &event);
        self.tell(&project, &event);
    }

    pub(super) fn sessions_list(&self, identity: &Identity, params: &SessionsList) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        // Ids begin with the time: the newest are at the end.
        let cursor = params.cursor.as_deref();
        let mut fitting = self
            .runs
            .values()
            .rev()
            .map(|run| &run.session)
            .filter(|session| {
                session.project_id == *params.project_id
                    && params.status.is_none_or(|status| status == session.status)
                    && params
                        .agent
                        .as_ref()
                        .is_none_or(|agent| **agent == session.agent)
                    && cursor.is_none_or(|cursor| session.id.as_str() < cursor)
            });
        let sessions: Vec<Session> = fitting.by_ref().take(params.limit.get()).cloned().collect();
        let more = fitting.next().is_some();
        let next_cursor = sessions
            .last()
            .filter(|_| more)
            .map(|session| session.id.clone());
        answer(&Sessions {
            sessions,
            next_cursor,
        })
    }

    pub(super) fn session_detail(
        &mut self,
        id: &str,
        newest: usize,
    ) -> Result<SessionDetail, ErrorBody> {
        let messages = self.messages_of(id, newest);
        let channel = self.channel(&Channel::Session(id.to_owned()));
        let run = self.runs.get(id).ok_or_else(|| not_found("session"))?;
        let position = self
            .hub
            .position(channel)
            .ok_or_else(|| not_found("session"))?;
        Ok(SessionDetail {
            session: run.session.clone(),
            messages: messages.into_iter().map(|(_, message)| message).collect(),
            todos: run.todos.clone(),
            pending_approvals: self.pending(|call| call.session_id == id),
            position,
        })
    }

    pub(super) fn sessions_get(&mut self, identity: &Identity, params: &SessionsGet) -> Outcome {
        self.run(identity, &params.session_id)?;
        let detail = self.session_detail(&params.session_id, params.message_limit.get())?;
        answer(&detail)
    }

    pub(super) fn sessions_archive(
        &mut self,
        identity: &Identity,
        params: &SessionsArchive,
    ) -> Outcome {
        let id = params.session_id.to_string();
        let run = self.run(identity, &id)?;
        if run.session.status == SessionStatus::Archived {
            return answer(&run.session);
        }
        let (agent, run) = (run.session.agent.clone(), run.run);
        let was = self.agent_status(&agent);
        self.cancel_answer(&id, "the session is archived");
        self.call_back(
            |held| held.call.session_id == id,
            CallState::Cancelled,
            "cancel",
        );
        if params.open_orders == OpenOrders::Cancel {
            self.cancel_orders_of(&id);
        }
        if self.crew.send(&agent, Instruction::End { run }).is_err() {
            tracing::warn!(
                session = id,
                "the strategy was not told that its run is over"
            );
        }
        let now_ms = self.now.as_millis();
        if let Some(run) = self.runs.get_mut(&id) {
            run.session.status = SessionStatus::Archived;
            run.session.updated_at = now_ms;
        }
        self.save_run(&id);
        self.tell_session(&id);
        self.tell_agent(&agent, was, None);
        let run = self.runs.get(&id).ok_or_else(|| not_found("session"))?;
        answer(&run.session)
    }

    // Messages.

    pub(super) fn messages_send(&mut self, identity: &Identity, params: MessagesSend) -> Outcome {
        let session = params.session_id.to_string();
        self.active(identity, &session)?;
        let repeat = params.idempotency_key.as_ref().map(|key| {
            let asked = json!([session, *params.content]).to_string();
            let id = repeat_id(identity, "messages.send", key);
            (id, hex(&sha256(asked.as_bytes())))
        });
        if let Some((id, asked)) = &repeat
            && let Some(before) = self.repeated(id, asked)?
        {
            return answer(&MessageSent {
                message_id: before.message_id,
                reply_id: before.reply_id.unwrap_or_default(),
            });
        }
        self.no_answer_under_way(&session)?;
        let now_ms = self.now.as_millis();
        let message_id = self.ids.draw("msg", self.now);
        let text = params.content.into_string();
        let reply = ReplyId(self.next_number());
        self.instruct(&session, reply, &text)?;
        let part = Part {
            id: self.ids.draw("part", self.now),
            message_id: message_id.clone(),
            session_id: session.clone(),
            kind: PartType::Text,
            content: Some(text),
            tool_call: None,
            tool_result: None,
        };
        let message = Message {
            id: message_id.clone(),
            session_id: session.clone(),
            role: Role::User,
            status: MessageStatus::Complete,
            reply_to: None,
            created_at: now_ms,
            completed_at: Some(now_ms),
            error: None,
            parts: vec![part],
        };
        self.add_message(&session, &message);
        let reply_id = self.open_answer(&session, reply, &message_id, Vec::new());
        if let Some((repeat, asked)) = repeat {
            let given = Repeatable {
                asked,
                message_id: message_id.clone(),
                reply_id: Some(reply_id.clone()),
            };
            self.store.put_entity("repeat", &repeat, &given);
        }
        answer(&MessageSent {
            message_id,
            reply_id,
        })
    }

    fn no_answer_under_way(&self, session: &str) -> Result<(), ErrorBody> {
        let answering = self
            .runs
            .get(session)
            .and_then(|run| run.answering.as_ref());
        match answering {
            None => Ok(()),
            Some(_) => Err(ErrorBody::new(
                Code::Busy,
                "an answer is under way: wait for it, or cancel it",
            )),
        }
    }

    fn instruct(&mut self, session: &str, reply: ReplyId, text: &str) -> Result<(), ErrorBody> {
        let run = self.runs.get(session).ok_or_else(|| not_found("session"))?;
        let message = Instruction::Message {
            run: run.run,
            reply,
            text: text.into(),
        };
        self.crew
            .send(&run.session.agent, message)
            .map_err(|busy| ErrorBody::new(Code::Busy, busy.to_string()).after_ms(100))
    }

    fn add_message(&mut self, session: &str, message: &Message) -> u64 {
        let number = match self.runs.get_mut(session) {
            Some(run) => {
                run.next_message += 1;
                run.next_message - 1
            }
            None => 0,
        };
        self.save_message(session, number, message);
        let event = EventData::MessageCreated(MessageEvent {
            message: message.clone(),
        });
        self.tell(&Channel::Session(session.to_owned()), &event);
        number
    }

    fn open_answer(
        &mut self,
        session: &str,
        reply: ReplyId,
        to: &str,
        sent_before: Vec<SentBefore>,
    ) -> String {
        let id = self.ids.draw("msg", self.now);
        let message = Message {
            id: id.clone(),
            session_id: session.to_owned(),
            role: Role::Assistant,
            status: MessageStatus::Streaming,
            reply_to: Some(to.to_owned()),
            created_at: self.now.as_millis(),
            completed_at: None,
            error: None,
            parts: Vec::new(),
        };
        let number = self.add_message(session, &message);
        self.by_reply.insert(reply, session.to_owned());
        if let Some(run) = self.runs.get_mut(session) {
            run.answering = Some(Answering::new(reply, number, message, sent_before));
        }
        id
    }

    pub(super) fn messages_cancel(
        &mut self,
        identity: &Identity,
        params: &MessagesCancel,
    ) -> Outcome {
        self.run(identity, &params.session_id)?;
        let cancelled = self.cancel_answer(&params.session_id, "cancelled by a client");
        answer(&MessageCancelled { cancelled })
    }

    pub(super) fn messages_retry(
        &mut self,
        identity: &Identity,
        params: &MessagesRetry,
    ) -> Outcome {
        let session = params.session_id.to_string();
        self.active(identity, &session)?;
        self.no_answer_under_way(&session)?;
        let messages = self.messages_of(&session, usize::MAX);
        let asked = messages
            .iter()
            .find(|(_, message)| message.id == *params.message_id);
        let (_, asked) = asked.ok_or_else(|| not_found("message"))?;
        if asked.role != Role::User {
            let words = "only the message of a user can be answered anew";
            return Err(ErrorBody::field("params.messageId", words));
        }
        // Whatever may have reached a venue in an earlier answer is not sent again.
        let answers = messages
            .iter()
            .filter(|(_, message)| message.reply_to.as_deref() == Some(&*params.message_id));
        let calls = answers.flat_map(|(_, answer)| &answer.parts);
        let sent_before = calls
            .filter_map(|part| part.tool_call.as_ref())
            .filter(|call| call.dispatch == Some(Dispatch::Sent))
            .map(|call| SentBefore {
                ticket: call.order.clone(),
                order: self.order_of_call(call),
            })
            .filter(|sent| sent.order.status != "rejected")
            .collect();
        let text: String = asked
            .parts
            .iter()
            .filter_map(|part| part.content.as_deref())
            .collect();
        let message_id = asked.id.clone();
        let reply = ReplyId(self.next_number());
        self.instruct(&session, reply, &text)?;
        let reply_id = self.open_answer(&session, reply, &message_id, sent_before);
        answer(&MessageSent {
            message_id,
            reply_id,
        })
    }

    // Agents and tools.

    pub(super) fn agent_status(&self, agent: &str) -> AgentStatus {
        let has_run = self
            .runs
            .values()
            .any(|run| run.session.agent == agent && run.session.status == SessionStatus::Active);
        match (&self.halted, has_run) {
            (Some(_), _) => AgentStatus::Halted,
            (None, true) => AgentStatus::Running,
            (None, false) => AgentStatus::Idle,
        }
    }

    pub(super) fn agents(&self) -> Vec<Agent> {
        let cards = self.crew.cards();
        cards
            .map(|card| card.with_status(self.agent_status(&card.name)))
            .collect()
    }

    /// Tells of an agent's status, where it is not what it was.
    pub(super) fn tell_agent(&mut self, agent: &str, was: AgentStatus, reason: Option<&str>) {
        let status = self.agent_status(agent);
        if status == was {
            return;
        }
        let event = EventData::AgentChanged(AgentChanged {
            agent: agent.to_owned(),
            status,
            reason: reason.map(str::to_owned),
            since: self.now.as_millis(),
        });
        self.tell(&Channel::System, &event);
    }

    pub(super) fn agents_list(&self, identity: &Identity, params: &AgentsList) -> Outcome {
        self.may_on(identity, &params.project_id)?;
        answer(&Agents {
            agents: self.agents(),
        })
    }

    pub(super) fn agents_get(&self, params: &AgentsGet) -> Outcome {
        let card = self
            .crew
            .card(&params.agent)
            .ok_or_else(|| not_found("agent"))?;
        answer(&card.with_status(self.agent_status(&card.name)))
    }

    pub(super) fn tools_list(&self, identity: &Identity, params: &ToolsList) -> Outcome {
        let (mode, has_orders) = match &params.session_id {
            None => (Mode::Live, true),
            Some(session) => {
                let session = &self.run(identity, session)?.session;
                let card = self.crew.card(&session.agent);
                let has = card.is_some_and(|card| card.tools.iter().any(|t| t == "order.place"));
                (session.mode, has)
            }
        };
        let mut generator = schemars::generate::SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        let schema = generator.root_schema_for::<OrderTicket>();
        let tool = Tool {
            name: "order.place".to_owned(),
            parameters_schema: schema.to_value(),
            approval: self.config.approvals.of(mode),
        };
        answer(&Tools {
            tools: if has_orders { vec![tool] } else { Vec::new() },
        })
    }

    // Plans.

    pub(super) fn todos_get(&self, identity: &Identity, params: &TodosGet) -> Outcome {
        let run = self.run(identity, &params.session_id)?;
        answer(&Todos {
            todos: run.todos.clone(),
            version: run.todo_version,
        })
    }

    pub(super) fn todos_update(&mut self, identity: &Identity, params: TodosUpdate) -> Outcome {
        let session = params.session_id.to_string();
        let run = self.active(identity, &session)?;
        if let Some(version) = params.version
            && version != run.todo_version
        {
            let error = ErrorBody::new(Code::Conflict, "the plan has changed since");
            return Err(error.with(json!({ "version": run.todo_version })));
        }
        let (mut todos, version) = (run.todos.clone(), run.todo_version + 1);
        match (params.todos, params.todo_id) {
            (Some(items), None) => {
                if params.status.is_some() || params.content.is_some() || params.position.is_some()
                {
                    let words = "status, content and position go with todoId";
                    return Err(ErrorBody::field("params.todos", words));
                }
                todos = self.whole_plan(items.0)?;
            }
            (None, Some(id)) => {
                let place = todos.iter().position(|todo| todo.id == *id);
                let place = place.ok_or_else(|| not_found("todo"))?;
                let mut todo = todos.remove(place);
                if params.status == Some(TodoStatus::InProgress) {
                    for other in &mut todos {
                        if other.status == TodoStatus::InProgress {
                            other.status = TodoStatus::Pending;
                        }
                    }
                }
                todo.status = params.status.unwrap_or(todo.status);
                todo.content = params.content.map_or(todo.content, Text::into_string);
                let place = params.position.map_or(place, |position| position as usize);
                todos.insert(place.min(todos.len()), todo);
            }
            _ => {
                let words = "either todos or todoId";
                return Err(ErrorBody::field("params.todos", words));
            }
        }
        for (position, todo) in (0u32..).zip(&mut todos) {
            todo.position = position;
        }
        if let Some(run) = self.runs.get_mut(&session) {
            run.todos.clone_from(&todos);
            run.todo_version = version;
        }
        self.save_run(&session);
        let event = EventData::TodosChanged(TodosChanged {
            session_id: session.clone(),
            todos: todos.clone(),
            version,
        });
        self.tell(&Channel::Session(session), &event);
        answer(&Todos { todos, version })
    }

    fn whole_plan(&mut self, items: Vec<TodoItem>) -> Result<Vec<Todo>, ErrorBody> {
        let in_progress = items
            .iter()
            .filter(|item| item.status == Some(TodoStatus::InProgress));
        if in_progress.count() > 1 {
            let words = "at most one item is in progress";
            return Err(ErrorBody::field("params.todos", words));
        }
        let now: Nanos = self.now;
        let todo = |item: TodoItem| Todo {
            id: self.ids.draw("todo", now),
            content: item.content.into_string(),
            status: item.status.unwrap_or(TodoStatus::Pending),
            position: 0,
        };
        Ok(items.into_iter().map(todo).collect())
    }
}
