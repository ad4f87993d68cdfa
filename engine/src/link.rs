//! One WebSocket link: connecting, TLS, upgrade, frames, and coming back after a loss. A state machine
//! that never blocks; the loop calls it when its socket is ready or its deadline has come.

use std::collections::VecDeque;
use std::sync::Arc;

use arrayvec::ArrayVec;
use rustls::ClientConfig;
use tickwire_connectors::transmit::{DownReason, Lane, LinkSpec};
use tickwire_connectors::{LinkId, Nanos};

use crate::backoff::{Backoff, BackoffConfig, Loss};
use crate::hosts::{Attempt, HostId};
use crate::net::{Net, Token};
use crate::pacer::Pacer;
use crate::registry::{LinkInfo, LinkState};
use crate::stream::{Buffers, Drained, SecureStream};
use crate::wire::TxBuffer;
use crate::wire::ws::{
    Decoder, DecoderConfig, Encoder, Frame, Handshake, HandshakeError, Inflater,
    MESSAGE_BYTES_CEILING, Masking, MessageKind, OpCode, Upgrade, WsError, close,
};

/// Name look-up, TCP, TLS and upgrade must be done in this time. Venues answer in well under a
/// second; a black hole should not hold a link longer than this.
const CONNECT_TIMEOUT: Nanos = Nanos::from_secs(10);

/// What we send must have left our buffers in this time. A peer that takes nothing more but keeps the
/// connection (its application hangs, its window is zero) would otherwise hold cancels for ever.
const SEND_STALL_MAX: Nanos = Nanos::from_secs(10);

/// The longest that a venue's `Retry-After` is believed: Binance's bans grow "from 2 minutes to 3
/// days" (rest-api.md, 2026-07-21), and no venue of ours states a longer one.
const RETRY_AFTER_MAX: Nanos = Nanos::from_secs(3 * 24 * 3_600);

/// Of a refusal's headers so many bytes are told on: enough for a venue's limits and its trace ids.
const REFUSED_HEADERS_BYTES_MAX: usize = 2 << 10;

/// Of a refusal's body so many bytes are told on. Notices may wait unread in their thousands.
const REFUSED_TEXT_BYTES_MAX: usize = 1 << 10;

/// Texts whose memory is kept: heartbeats, and what is answered to a venue, come one at a time.
const SPARE_MAX: usize = 4;

/// Room for any venue's heartbeat.
const HEARTBEAT_BYTES: usize = 256;

/// Room for frames that are not yet encrypted.
const FRAME_BYTES: usize = 64 << 10;

/// What came in.
pub(crate) enum Input<'a> {
    /// The link is up.
    Up,
    /// A whole text message, to be parsed in place.
    Text(&'a mut [u8]),
    /// A whole binary message, opened.
    Binary(&'a mut [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// Something that needs no one's attention; there may be more.
    Again,
    /// Nothing more until the socket is read again.
    Dry,
}

enum Phase {
    /// Until the next try.
    Waiting {
        until: Nanos,
        /// Its own backoff is over: it waits for its host.
        is_held: bool,
    },
    /// Name look-up and TCP.
    Connecting {
        since: Nanos,
        token: Token,
    },
    /// TLS.
    Securing {
        since: Nanos,
    },
    /// The upgrade request is out.
    Upgrading {
        since: Nanos,
        handshake: Box<Handshake>,
    },
    Up {
        since: Nanos,
    },
    Closed,
}

/// Our own pings, which ask a silent link for a sign of life.
#[derive(Debug, Default)]
struct Probe {
    /// Distinguishes the pings of a connection, so that an old or unasked pong answers none.
    number: u64,
    state: ProbeState,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum ProbeState {
    /// None is wanted.
    #[default]
    Idle,
    /// The pacer has not let it go yet.
    Wanted,
    Sent,
}

/// A link and all that it keeps over its connections.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) info: Arc<LinkInfo>,
    pub(crate) host: HostId,
    spec: LinkSpec,
    phase: Phase,
    stream: Option<SecureStream>,
    /// Of the last connection, for the next.
    buffers: Option<Buffers>,
    decoder: Decoder,
    /// Opens binary messages, where the venue packs them.
    inflater: Option<Inflater>,
    encoder: Encoder,
    rng: fastrand::Rng,
    frames: TxBuffer,
    urgent: VecDeque<(OpCode, Vec<u8>)>,
    normal: VecDeque<(OpCode, Vec<u8>)>,
    /// Memory of texts that were sent, for the next: heartbeats are part of the steady state, where
    /// nothing allocates.
    spare: ArrayVec<Vec<u8>, SPARE_MAX>,
    /// The newest ping's payload: "an endpoint MAY elect to send a Pong frame for only the most
    /// recently processed Ping frame" (RFC 6455 §5.5.3), which keeps a ping flood within the limit
    /// on what we send.
    pong: Option<ArrayVec<u8, 125>>,
    pacer: Pacer,
    backoff: Backoff,
    epoch: u16,
    /// How long the last connecting took.
    connect_time: Nanos,
    /// A whole message, or an answer to our ping, came last.
    last_life: Nanos,
    probe: Probe,
    /// Since when something waits for room in the socket.
    stalled_since: Option<Nanos>,
    /// The connector or a closing peer asked for the end of this connection.
    cut: Option<DownReason>,
    messages: u64,
    /// Whole messages and control frames since they were last taken.
    frames_in: u64,
    /// Bytes in and out of the connections before this one.
    bytes_before: (u64, u64),
    /// The socket may hold bytes that no readiness will announce.
    pub(crate) maybe_readable: bool,
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        spec: LinkSpec,
        (info, host): (Arc<LinkInfo>, HostId),
        backoff: BackoffConfig,
        seed: u64,
        epoch: u16,
    ) -> Link {
        let mut rng = fastrand::Rng::with_seed(seed);
        let config = DecoderConfig {
            message_bytes_max: spec.message_bytes_max.min(MESSAGE_BYTES_CEILING),
            check_utf8: spec.check_utf8,
        };
        Link {
            id,
            info,
            host,
            phase: Phase::Waiting {
                until: Nanos::ZERO,
                is_held: false,
            },
            stream: None,
            buffers: None,
            decoder: Decoder::new(config),
            inflater: None,
            encoder: Encoder::new(rng.fork(), Masking::Random),
            frames: TxBuffer::new(FRAME_BYTES),
            urgent: VecDeque::with_capacity(SPARE_MAX),
            normal: VecDeque::with_capacity(SPARE_MAX),
            spare: (0..SPARE_MAX)
                .map(|_| Vec::with_capacity(HEARTBEAT_BYTES))
                .collect(),
            pong: None,
            pacer: Pacer::new(spec.send_limit),
            backoff: Backoff::new(backoff, spec.retry, rng.u64(..)),
            epoch,
            connect_time: Nanos::ZERO,
            last_life: Nanos::ZERO,
            probe: Probe::default(),
            stalled_since: None,
            cut: None,
            messages: 0,
            frames_in: 0,
            bytes_before: (0, 0),
            maybe_readable: false,
            spec,
            rng,
        }
    }

    pub(crate) const fn epoch(&self) -> u16 {
        self.epoch
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    pub(crate) const fn connect_time(&self) -> Nanos {
        self.connect_time
    }

    /// How long the present phase has lasted.
    pub(crate) fn age(&self, now: Nanos) -> Nanos {
        match &self.phase {
            Phase::Connecting { since, .. }
            | Phase::Securing { since }
            | Phase::Upgrading { since, .. }
            | Phase::Up { since } => now - *since,
            Phase::Waiting { .. } | Phase::Closed => Nanos::ZERO,
        }
    }

    /// Who asks for the next connection.
    pub(crate) const fn attempt(&self) -> Attempt {
        if self.backoff.is_fresh() {
            Attempt::Fresh
        } else {
            Attempt::Again
        }
    }

    /// May not connect before `until`. Gives how long that is, where it has not been waiting for its
    /// host already.
    pub(crate) fn hold(&mut self, until: Nanos, now: Nanos) -> Option<Nanos> {
        let was_held = matches!(self.phase, Phase::Waiting { is_held: true, .. });
        // All that wait for a host would come back in the same moment.
        let until = until + self.backoff.spread();
        self.phase = Phase::Waiting {
            until,
            is_held: true,
        };
        (!was_held).then_some(until - now)
    }

    /// Starts connecting; gives the token that the socket's readiness will carry.
    pub(crate) fn connect(&mut self, net: &mut impl Net, now: Nanos) -> Token {
        let token = net.open(&self.spec.endpoint);
        self.phase = Phase::Connecting { since: now, token };
        self.info.counters.attempts.bump();
        self.info.set_state(LinkState::Connecting, self.epoch);
        token
    }

    /// The socket stands.
    pub(crate) fn handle_connected(
        &mut self,
        net: &mut impl Net,
        tls: &Arc<ClientConfig>,
    ) -> Result<(), DownReason> {
        let Phase::Connecting { since, token } = self.phase else {
            return Ok(());
        };
        let mut stream = SecureStream::new(
            token,
            &self.spec.endpoint,
            tls,
            self.buffers.take().unwrap_or_default(),
        )?;
        if let Some(report) = net.take_report(token) {
            for option in &report.options {
                if let Err(error) = &option.in_effect {
                    tracing::warn!(option = option.name, %error, "socket option not taken");
                }
            }
            self.info.set_socket(report);
        }
        stream.begin(net)?;
        self.stream = Some(stream);
        self.phase = Phase::Securing { since };
        self.decoder.reset();
        let bytes_max = self.spec.message_bytes_max.min(MESSAGE_BYTES_CEILING);
        let hook = self.spec.payload_hook;
        self.inflater = hook.map(|make| Inflater::new((make.0)(), bytes_max));
        self.frames.clear();
        self.pacer.reset();
        self.maybe_readable = true;
        Ok(())
    }

    /// Reads the socket, once.
    #[inline]
    pub(crate) fn recv(&mut self, net: &mut impl Net) -> Result<(), DownReason> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        self.maybe_readable = stream.recv(net)? == Drained::No;
        Ok(())
    }

    /// The next thing that came in. Call until [`Input::Dry`].
    #[inline]
    pub(crate) fn next_input(&mut self, now: Nanos) -> Result<Input<'_>, DownReason> {
        if let Some(reason) = self.cut.take() {
            return Err(reason);
        }
        if !self.is_up() {
            return self.next_of_connecting(now);
        }
        let Some(stream) = &mut self.stream else {
            return Ok(Input::Dry);
        };
        stream.decrypt()?;
        let more = stream.has_more();
        let end = if stream.ended() && !more {
            Some(stream.end_reason())
        } else {
            None
        };
        let was_in_message = self.decoder.is_in_message();
        let next = self.decoder.next(&mut stream.plain);
        self.frames_in += u64::from(matches!(next, Ok(Some(_))));
        match next {
            Ok(Some(Frame::Message { kind, payload })) => {
                self.messages += 1;
                self.last_life = now;
                self.probe.state = ProbeState::Idle;
                match (kind, &mut self.inflater) {
                    (MessageKind::Text, _) => Ok(Input::Text(payload)),
                    (MessageKind::Binary, None) => Ok(Input::Binary(payload)),
                    (MessageKind::Binary, Some(inflater)) => match inflater.open(payload) {
                        Ok(opened) => Ok(Input::Binary(opened)),
                        Err(error) => {
                            let _ = self.encoder.close(
                                Some(close::INVALID_PAYLOAD),
                                "",
                                &mut self.frames,
                            );
                            Err(DownReason::Protocol(error.to_string()))
                        }
                    },
                }
            }
            Ok(Some(Frame::Ping(payload))) => {
                // The decoder has checked that it fits.
                self.pong = ArrayVec::try_from(payload).ok();
                Ok(Input::Again)
            }
            Ok(Some(Frame::Pong(payload))) => {
                let Probe { number, state } = &mut self.probe;
                let is_answer = *state == ProbeState::Sent && payload == number.to_be_bytes();
                // Behind a message that never ends no data can come, however well it answers.
                if is_answer && !was_in_message {
                    *state = ProbeState::Idle;
                    self.last_life = now;
                }
                Ok(Input::Pong(payload))
            }
            Ok(Some(Frame::Close { code, reason })) => {
                let text = String::from_utf8_lossy(reason).into_owned();
                // "the endpoint typically echos the status code it received" (RFC 6455 §5.5.1).
                let _ = self.encoder.close(code, "", &mut self.frames);
                self.cut = Some(DownReason::ClosedByVenue { code, text });
                Ok(Input::Again)
            }
            Ok(None) if more => Ok(Input::Again),
            Ok(None) => end.map_or(Ok(Input::Dry), Err),
            Err(error) => Err(protocol(&mut self.encoder, &mut self.frames, error)),
        }
    }

    fn next_of_connecting(&mut self, now: Nanos) -> Result<Input<'_>, DownReason> {
        let Some(stream) = &mut self.stream else {
            return Ok(Input::Dry);
        };
        stream.decrypt()?;
        match &mut self.phase {
            Phase::Securing { since } if stream.is_ready() => {
                match stream.is_resumed() {
                    Some(true) => self.info.counters.tls_resumed.bump(),
                    Some(false) => self.info.counters.tls_full.bump(),
                    None => {}
                }
                let endpoint = &self.spec.endpoint;
                let headers: Vec<(&str, &str)> = self
                    .spec
                    .headers
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                let upgrade = Upgrade {
                    host: &endpoint.host,
                    port: endpoint.port,
                    tls: endpoint.tls,
                    target: &self.spec.path,
                    headers: &headers,
                    protocol: self.spec.protocol.as_deref(),
                };
                let handshake = Handshake::start(&upgrade, &mut self.rng, &mut self.frames)
                    .map_err(|error| refused(&error, now))?;
                let since = *since;
                self.phase = Phase::Upgrading {
                    since,
                    handshake: Box::new(handshake),
                };
                Ok(Input::Again)
            }
            Phase::Upgrading { handshake, since } => match handshake.poll(&mut stream.plain) {
                Ok(Some(_)) => {
                    self.connect_time = now - *since;
                    self.epoch = self.epoch.wrapping_add(1).max(1);
                    self.phase = Phase::Up { since: now };
                    self.info.counters.connects.bump();
                    self.last_life = now;
                    self.info.set_state(LinkState::Up, self.epoch);
                    Ok(Input::Up)
                }
                Ok(None) if stream.has_more() => Ok(Input::Again),
                Ok(None) if stream.ended() => Err(refused(&handshake.finish_eof(), now)),
                Ok(None) => Ok(Input::Dry),
                Err(error) => Err(refused(&error, now)),
            },
            _ if stream.ended() => Err(stream.end_reason()),
            _ => Ok(Input::Dry),
        }
    }

    fn is_full(&self) -> bool {
        self.urgent.len() + self.normal.len() >= self.spec.queue_max
    }

    /// Whether more was to be sent than may wait, and nobody would send it again.
    pub(crate) fn overflows(&self) -> bool {
        self.is_up() && self.is_full() && self.spec.retry.is_some()
    }

    /// Takes a message or a ping to send. False where the link is down (a connector sends again what must be
    /// after the next Up) or where its queue is full.
    pub(crate) fn queue(&mut self, lane: Lane, opcode: OpCode, payload: &[u8]) -> bool {
        if !self.is_up() || self.is_full() {
            return false;
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(payload);
        match lane {
            Lane::Urgent => self.urgent.push_back((opcode, kept)),
            Lane::Normal => self.normal.push_back((opcode, kept)),
        }
        true
    }

    /// Sends what may go now.
    pub(crate) fn flush(&mut self, net: &mut impl Net, now: Nanos) -> Result<(), DownReason> {
        if self.stream.is_none() {
            return Ok(());
        }
        self.send_waiting(net, now)?;
        self.stalled_since = if self.wants_room() {
            self.stalled_since.or(Some(now))
        } else {
            None
        };
        Ok(())
    }

    fn send_waiting(&mut self, net: &mut impl Net, now: Nanos) -> Result<(), DownReason> {
        // Until nothing more may go or the socket is full: then it tells when it has room again.
        loop {
            if self.is_up() {
                self.encode_waiting(now)?;
            }
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            if self.frames.is_empty() && !stream.is_sending() {
                return Ok(());
            }
            let taken = stream.write(self.frames.pending())?;
            self.frames.advance(taken);
            stream.send(net)?;
            if taken == 0 || stream.is_sending() {
                return Ok(());
            }
        }
    }

    /// Whether something waits for room in the socket.
    pub(crate) fn wants_room(&self) -> bool {
        !self.frames.is_empty() || self.stream.as_ref().is_some_and(SecureStream::is_sending)
    }

    /// Encodes what the pacer lets through: the pong, urgent texts, the others.
    fn encode_waiting(&mut self, now: Nanos) -> Result<(), DownReason> {
        let Link {
            pong,
            probe,
            urgent,
            normal,
            spare,
            pacer,
            encoder,
            frames,
            ..
        } = self;
        if pong.is_some()
            && frames.free() >= FRAME_BYTES / 2
            && pacer.take(now, true)
            && let Some(payload) = pong.take()
        {
            encoder
                .pong(&payload, frames)
                .map_err(|error| own(&error))?;
        }
        if probe.state == ProbeState::Wanted
            && frames.free() >= FRAME_BYTES / 2
            && pacer.take(now, true)
        {
            probe.state = ProbeState::Sent;
            probe.number += 1;
            encoder
                .ping(&probe.number.to_be_bytes(), frames)
                .map_err(|error| own(&error))?;
        }
        for (queue, is_urgent) in [(urgent, true), (normal, false)] {
            while let Some((opcode, payload)) = queue.front() {
                // What does not fit now waits; what never will is our own fault.
                let fits = frames.free() > payload.len() + 14;
                if (!fits && !frames.is_empty()) || !pacer.take(now, is_urgent) {
                    break;
                }
                encoder
                    .frame(*opcode, payload, frames)
                    .map_err(|error| own(&error))?;
                if let Some((_, mut sent)) = queue.pop_front() {
                    sent.clear();
                    // Where enough is kept, it is freed.
                    let _ = spare.try_push(sent);
                }
            }
        }
        Ok(())
    }

    /// Ends the connection when the loop next looks.
    pub(crate) fn cut(&mut self, reason: DownReason) {
        // What is to be let go is not made anew.
        if self.cut != Some(DownReason::Closed) {
            self.cut = Some(reason);
        }
    }

    /// A cut that was asked for and not yet done.
    pub(crate) fn take_cut(&mut self) -> Option<DownReason> {
        self.cut.take()
    }

    /// The connection is over; gives how long until the next try, `None` where there is none.
    pub(crate) fn fail(
        &mut self,
        net: &mut impl Net,
        reason: &DownReason,
        now: Nanos,
    ) -> Option<Nanos> {
        let up_for = self.is_up().then(|| self.age(now));
        self.info.counters.disconnects.bump();
        self.drop_connection(net);
        if matches!(reason, DownReason::Closed) {
            self.phase = Phase::Closed;
            self.info.set_state(LinkState::Closed, self.epoch);
            return None;
        }
        let Some(wait) = self.backoff.next(Loss {
            up_for,
            at_least: asked_to_wait(reason).unwrap_or(Nanos::ZERO),
            is_lasting: reason.is_lasting(),
        }) else {
            self.phase = Phase::Closed;
            self.info.set_state(LinkState::Closed, self.epoch);
            return None;
        };
        self.phase = Phase::Waiting {
            until: now + wait,
            is_held: false,
        };
        self.info.set_state(LinkState::Waiting, self.epoch);
        Some(wait)
    }

    fn drop_connection(&mut self, net: &mut impl Net) {
        if let Phase::Connecting { token, .. } = self.phase {
            net.close(token);
        }
        if let Some(mut stream) = self.stream.take() {
            // What tells the peer why (a close frame, an alert) goes out if there is room.
            if let Ok(taken) = stream.write(self.frames.pending()) {
                self.frames.advance(taken);
            }
            stream.close(net);
            net.close(stream.token());
            self.bytes_before.0 += stream.bytes_in;
            self.bytes_before.1 += stream.bytes_out;
            self.buffers = Some(stream.into_buffers());
        }
        self.publish();
        self.frames.clear();
        self.urgent.clear();
        self.normal.clear();
        self.pong = None;
        self.probe.state = ProbeState::Idle;
        self.stalled_since = None;
        self.cut = None;
        self.maybe_readable = false;
    }

    /// Says goodbye before [`fail`](Link::fail) with [`DownReason::Closed`].
    pub(crate) fn say_goodbye(&mut self) {
        if self.is_up() {
            let _ = self
                .encoder
                .close(Some(close::NORMAL), "", &mut self.frames);
        }
    }

    /// When the link wants to connect, to send or to have its [limits](Link::check_limits) checked.
    pub(crate) fn deadline(&self) -> Nanos {
        match &self.phase {
            Phase::Waiting { until, .. } => *until,
            Phase::Connecting { since, .. }
            | Phase::Securing { since }
            | Phase::Upgrading { since, .. } => *since + self.connect_timeout(),
            Phase::Up { .. } => {
                let silent = self.spec.silence_max_ns.map_or(Nanos::MAX, |max| {
                    // Half of it, until the ping is out.
                    let part = if self.probe.state == ProbeState::Idle {
                        Nanos(max.0 / 2)
                    } else {
                        max
                    };
                    self.last_life + part
                });
                let stalled = self.stalled_since.map(|since| since + SEND_STALL_MAX);
                silent
                    .min(stalled.unwrap_or(Nanos::MAX))
                    .min(self.paced_until())
            }
            Phase::Closed => Nanos::MAX,
        }
    }

    /// When the pacer lets the next waiting message go; never where none waits, or where the socket
    /// has no room.
    pub(crate) fn paced_until(&self) -> Nanos {
        if self.wants_room() {
            return Nanos::MAX;
        }
        let is_probing = self.probe.state == ProbeState::Wanted;
        if self.pong.is_some() || is_probing || !self.urgent.is_empty() {
            return self.pacer.ready_at(true);
        }
        if self.normal.is_empty() {
            Nanos::MAX
        } else {
            self.pacer.ready_at(false)
        }
    }

    /// Whether it is time to connect (again).
    pub(crate) fn is_due(&self, now: Nanos) -> bool {
        matches!(self.phase, Phase::Waiting { until, .. } if until <= now)
    }

    fn connect_timeout(&self) -> Nanos {
        self.spec.connect_timeout_ns.unwrap_or(CONNECT_TIMEOUT)
    }

    /// Checks the time limits of the present phase. A link that has been silent for long wants a ping
    /// sent: [flush](Link::flush) it.
    pub(crate) fn check_limits(&mut self, now: Nanos) -> Result<(), DownReason> {
        let late = self.age(now) >= self.connect_timeout();
        match &self.phase {
            Phase::Connecting { .. } if late => Err(DownReason::TimedOut("connecting")),
            Phase::Securing { .. } if late => Err(DownReason::TimedOut("setting up TLS")),
            Phase::Upgrading { .. } if late => Err(DownReason::TimedOut("upgrading to WebSocket")),
            Phase::Up { .. } => self.check_life(now),
            _ => Ok(()),
        }
    }

    fn check_life(&mut self, now: Nanos) -> Result<(), DownReason> {
        if self
            .stalled_since
            .is_some_and(|since| now - since >= SEND_STALL_MAX)
        {
            return Err(DownReason::TimedOut("sending: the venue takes nothing"));
        }
        let Some(max) = self.spec.silence_max_ns else {
            return Ok(());
        };
        let silent = now - self.last_life;
        if silent >= max {
            return Err(DownReason::Silent(max));
        }
        if silent.0 >= max.0 / 2 && self.probe.state == ProbeState::Idle {
            self.probe.state = ProbeState::Wanted;
        }
        Ok(())
    }

    /// Whole messages and control frames since the last call.
    #[inline]
    pub(crate) fn take_frames(&mut self) -> u64 {
        core::mem::take(&mut self.frames_in)
    }

    /// Publishes the link's counters to other threads.
    pub(crate) fn publish(&self) {
        let (bytes_in, bytes_out) = self
            .stream
            .as_ref()
            .map_or((0, 0), |stream| (stream.bytes_in, stream.bytes_out));
        let (before_in, before_out) = self.bytes_before;
        let counters = &self.info.counters;
        counters.messages.set(self.messages);
        counters.bytes_in.set(before_in + bytes_in);
        counters.bytes_out.set(before_out + bytes_out);
    }
}

#[cold]
fn protocol(encoder: &mut Encoder, frames: &mut TxBuffer, error: WsError) -> DownReason {
    // Tell the venue what it did wrong, as well as it goes.
    let _ = encoder.close(Some(error.close_code()), "", frames);
    match error {
        WsError::TooLarge { size, max } => DownReason::TooLarge { size, max },
        other => DownReason::Protocol(other.to_string()),
    }
}

#[cold]
fn refused(error: &HandshakeError, now: Nanos) -> DownReason {
    let HandshakeError::Refused(refused) = error else {
        return DownReason::Protocol(error.to_string());
    };
    let max = RETRY_AFTER_MAX.0 / 1_000_000_000;
    let retry_after_s = refused
        .retry_after_secs(now.0 / 1_000_000_000)
        .map(|seconds| seconds.min(max as u64) as u32);
    let mut room = REFUSED_HEADERS_BYTES_MAX;
    let headers = refused.headers.iter().map_while(|(name, value)| {
        room = room.checked_sub(name.len() + value.len())?;
        Some((name.to_owned(), String::from_utf8_lossy(value).into_owned()))
    });
    let headers = headers.collect();
    let text = refused.body.get(..REFUSED_TEXT_BYTES_MAX);
    let text = String::from_utf8_lossy(text.unwrap_or(&refused.body));
    DownReason::Refused {
        status: refused.status,
        retry_after_s,
        headers,
        body: text.into_owned(),
    }
}

/// How long the venue has asked to be left alone.
pub(crate) fn asked_to_wait(reason: &DownReason) -> Option<Nanos> {
    match reason {
        DownReason::Refused {
            retry_after_s: Some(seconds),
            ..
        } => Some(Nanos::from_secs(i64::from(*seconds))),
        _ => None,
    }
}

#[cold]
fn own(error: &impl std::fmt::Display) -> DownReason {
    DownReason::Protocol(format!("a message of ours can't be sent: {error}"))
}
