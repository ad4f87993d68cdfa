//! Links: their login, requests and proofs of life.
//!
//! **From up to subscribed.** Deribit is asked for heartbeats; where there are credentials the link logs
//! in, and only then are its topics asked for, in few large requests within the credits of the budget.
//!
//! **In step.** A book of changes is in step on another link where both links stand at one `change_id`, or
//! by the new link's own newer snapshot; every other kind by any message. Topics without a first message
//! that stay silent go by their ack.
//!
//! **No pairs.** Nothing promises that the changes of a book are cut at the same ids on two connections.

use super::login::{self, LoginWriter};
use super::subscribe::{Refusal, code_error, refusal, write_heartbeat, write_request, write_test};
use super::tape::{Answer, AnswerTo, Grant};
use super::urls;
use crate::error::{Error, ErrorKind, Next};
use crate::governor::Governor;
use crate::market_data::{self, Life, LinkOutput};
use crate::subscriptions::{Overdue, Subscriptions, Verdict};
use crate::time::Nanos;
use crate::transmit::{Lane, Transmit};

/// A login that the venue does not take for one so soon after it was granted has not the rights.
const FRESH_LOGIN_NS: Nanos = Nanos::from_secs(60);

/// What a link's answer meant.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Topics that the venue has now.
    pub(super) had: Vec<String>,
    /// Topics that the venue refused for good, and why.
    pub(super) refused: Vec<String>,
    pub(super) error: Option<Error>,
    /// The login was refused for good, and all that wait for it.
    pub(super) login_refused: bool,
    /// Out of credits.
    pub(super) throttled: bool,
}

/// A request that is made once a connection, or from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing to do.
    Done,
    /// To be asked.
    Due,
    /// Asked; an answer is due.
    Asked { until: Nanos },
    /// To be asked again then.
    Later { at: Nanos },
}

impl Step {
    const fn deadline(self) -> Nanos {
        match self {
            Step::Asked { until } => until,
            Step::Later { at } => at,
            Step::Done | Step::Due => Nanos::MAX,
        }
    }
}

/// How a link shows that it lives, and that it may ask.
#[derive(Debug)]
pub(crate) struct Session {
    /// Whether the venue wants a proof of life.
    test_due: bool,
    heartbeat: Step,
    login: Step,
    /// Whether links log in.
    logs_in: bool,
    /// When the login was granted; `None` while topics have to wait for it.
    granted_at: Option<Nanos>,
    refresh_at: Nanos,
    refresh_token: Option<String>,
    /// No topic is asked for before: there are no credits.
    hold_until: Option<Nanos>,
}

pub(super) type Link = market_data::Link<Session>;

impl Session {
    pub(super) const fn new(logs_in: bool) -> Session {
        Session {
            test_due: false,
            heartbeat: Step::Done,
            login: Step::Done,
            logs_in,
            granted_at: None,
            refresh_at: Nanos::MAX,
            refresh_token: None,
            hold_until: None,
        }
    }

    pub(super) fn begin(&mut self) {
        self.heartbeat = Step::Due;
        if self.logs_in {
            self.login = Step::Due;
        }
    }

    /// Whether topics may be asked for.
    const fn is_ready(&self) -> bool {
        self.hold_until.is_none() && (!self.logs_in || self.granted_at.is_some())
    }
}

impl Life for Session {
    fn quiet(&mut self) {
        *self = Session::new(self.logs_in);
    }

    fn deadline(&self) -> Nanos {
        let hold_until = self.hold_until.unwrap_or(Nanos::MAX);
        let steps = self.heartbeat.deadline().min(self.login.deadline());
        steps.min(self.refresh_at).min(hold_until)
    }

    #[inline]
    fn has_transmit(&self, subscriptions: &Subscriptions) -> bool {
        self.test_due
            || self.heartbeat == Step::Due
            || self.login == Step::Due
            || (subscriptions.has_request() && self.is_ready())
    }
}

impl Link {
    pub(super) fn handle_answer(&mut self, now: Nanos, answer: &Answer) -> Outcome {
        let mut outcome = Outcome::default();
        match answer {
            Answer::Heartbeat | Answer::Done(AnswerTo::Test) => {}
            Answer::TestRequest => self.life.test_due = true,
            Answer::Done(_) => self.life.heartbeat = Step::Done,
            Answer::Granted(grant) => self.handle_granted(now, grant),
            Answer::Topics(id, topics) => self.handle_topics(*id, topics, &mut outcome),
            Answer::Refused(to, code, words) => {
                self.handle_refused(now, *to, *code, words, &mut outcome);
            }
        }
        outcome
    }

    fn handle_granted(&mut self, now: Nanos, grant: &Grant) {
        if !matches!(self.life.login, Step::Asked { .. }) {
            return;
        }
        self.life.login = Step::Done;
        self.life.granted_at = Some(now);
        let used = grant.expires_in_s.saturating_mul(urls::LOGIN_USED_PERCENT) / 100;
        let used = used.clamp(urls::LOGIN_AGE_MIN_S, urls::LOGIN_AGE_MAX_S);
        self.life.refresh_at = now + Nanos::from_secs(used);
        let token = Some(&grant.refresh_token).filter(|token| login::is_plain(token));
        self.life.refresh_token = token.cloned();
    }

    /// What is not among the topics that were taken was refused without a word: it is misspelt, or
    /// needs other rights.
    fn handle_topics(&mut self, id: u32, topics: &[String], outcome: &mut Outcome) {
        let asked = self.subscriptions.topics_of(id);
        let taken = |topic: &str| topics.iter().any(|one| one == topic);
        let had = asked.filter(|topic| taken(topic));
        outcome.had = had.map(str::to_owned).collect();
        let verdict = |topic: &str| match taken(topic) {
            true => Verdict::Done,
            false => Verdict::Refused,
        };
        let refused = &mut outcome.refused;
        self.subscriptions
            .handle_verdicts(id, verdict, |topic| refused.push(topic.to_owned()));
        let text = "Deribit does not have this channel, or not for this login";
        outcome.error = Some(Error::venue(ErrorKind::BadSymbol, Next::Never, None, text));
    }

    fn handle_refused(
        &mut self,
        now: Nanos,
        to: AnswerTo,
        code: i64,
        words: &str,
        outcome: &mut Outcome,
    ) {
        let meant = refusal(code);
        outcome.error = Some(code_error(code, words));
        outcome.throttled = meant == Refusal::TooMany;
        let later = Step::Later {
            at: now + urls::RETRY_WAIT,
        };
        match to {
            // Without heartbeats the engine's own pings tell whether the link lives.
            AnswerTo::Heartbeat if meant == Refusal::Other => self.life.heartbeat = Step::Done,
            AnswerTo::Heartbeat => self.life.heartbeat = later,
            AnswerTo::Login if matches!(meant, Refusal::Later | Refusal::TooMany) => {
                self.life.login = later;
            }
            // A token that does not renew any more: the key itself may.
            AnswerTo::Login if self.life.refresh_token.take().is_some() => {
                self.life.login = Step::Due
            }
            AnswerTo::Login => {
                self.life.login = Step::Done;
                outcome.login_refused = true;
            }
            AnswerTo::Request(id) => self.handle_request_refused(now, id, meant, outcome),
            AnswerTo::Test | AnswerTo::Unknown => {}
        }
    }

    fn handle_request_refused(
        &mut self,
        now: Nanos,
        id: u32,
        meant: Refusal,
        outcome: &mut Outcome,
    ) {
        let is_raw = |topic: &str| topic.ends_with(".raw");
        let fresh = |at: Nanos| now.since(at) < FRESH_LOGIN_NS;
        let login_lost = self.life.granted_at.is_some_and(|at| !fresh(at));
        let refused = &mut outcome.refused;
        let mut refuse = |topic: &str| refused.push(topic.to_owned());
        let again = |_: &str| Verdict::Again;
        let subscriptions = &mut self.subscriptions;
        match meant {
            // As if it had not been heard: asked again when its time is over.
            Refusal::Later => {}
            Refusal::TooMany => subscriptions.handle_verdicts(id, again, refuse),
            Refusal::RawNeedsLogin | Refusal::Login if login_lost => {
                subscriptions.handle_verdicts(id, again, refuse);
                self.life.granted_at = None;
                self.life.refresh_token = None;
                self.life.login = Step::Due;
            }
            // The others of the request were refused as well, for nothing.
            Refusal::RawNeedsLogin if subscriptions.topics_of(id).any(is_raw) => {
                let verdict = |topic: &str| match is_raw(topic) {
                    true => Verdict::Refused,
                    false => Verdict::Again,
                };
                subscriptions.handle_verdicts(id, verdict, refuse);
            }
            _ => subscriptions.handle_refusal(id, None, &mut refuse),
        }
    }

    /// Why it is dead, where it is.
    pub(super) fn handle_timeout(&mut self, now: Nanos) -> Option<&'static str> {
        let is_due = |step: Step| matches!(step, Step::Later { at } if at <= now);
        let is_overdue = |step: Step| matches!(step, Step::Asked { until } if until <= now);
        if self.life.hold_until.is_some_and(|until| until <= now) {
            self.life.hold_until = None;
        }
        if is_due(self.life.heartbeat) {
            self.life.heartbeat = Step::Due;
        }
        if is_due(self.life.login) || (self.life.refresh_at <= now && self.life.login == Step::Done)
        {
            self.life.login = Step::Due;
            self.life.refresh_at = Nanos::MAX;
        }
        if is_overdue(self.life.heartbeat) || is_overdue(self.life.login) {
            Some("no answer")
        } else if self.subscriptions.handle_timeout(now) == Overdue::LinkIsMute {
            Some("no ack")
        } else {
            None
        }
    }

    /// What is to be said.
    pub(super) fn poll_text(
        &mut self,
        now: Nanos,
        login: Option<&mut LoginWriter>,
        governor: &Governor,
        body: &mut Vec<u8>,
    ) -> LinkOutput {
        let link = self.id;
        let lane = Lane::Urgent;
        let asked = Step::Asked {
            until: now + urls::ANSWER_TIMEOUT,
        };
        if core::mem::take(&mut self.life.test_due) {
            write_test(body);
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        if self.life.heartbeat == Step::Due {
            self.life.heartbeat = asked;
            write_heartbeat(body, urls::HEARTBEAT_S);
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        if self.life.login == Step::Due
            && let Some(writer) = login
        {
            self.life.login = asked;
            writer.write(now, link, self.life.refresh_token.as_deref(), body);
            return LinkOutput::Do(Transmit::Text { link, lane });
        }
        self.poll_request(now, governor, body)
    }

    /// Each request about topics has its price.
    fn poll_request(&mut self, now: Nanos, governor: &Governor, body: &mut Vec<u8>) -> LinkOutput {
        let link = self.id;
        self.subscriptions.drop_settled();
        if !self.subscriptions.has_request() || !self.life.is_ready() {
            return LinkOutput::Nothing;
        }
        let banned_until = governor.banned_until();
        let admitted = match banned_until > now {
            true => Err(banned_until),
            false => governor.admit_renewal(now),
        };
        if let Err(until) = admitted {
            self.life.hold_until = Some(until);
            return LinkOutput::Nothing;
        }
        let Some(request) = self.subscriptions.next_request(now) else {
            return LinkOutput::Nothing;
        };
        let topics = self.subscriptions.topics_of(request.id);
        write_request(body, request.id, request.op, topics);
        let lane = Lane::Normal;
        LinkOutput::Do(Transmit::Text { link, lane })
    }
}
