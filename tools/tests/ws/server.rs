//! A server written with another library, tokio-tungstenite: what it takes for WebSocket, not what we do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Without a word.
    Drop,
    /// With this close code.
    Close(u16),
}

type Open = Arc<Mutex<HashMap<u64, oneshot::Sender<Cut>>>>;

/// Answers requests, subscribes as Bybit does, and sends any other message back. On a thread of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    open: Open,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let (told, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let open = Open::default();
        let shared = Arc::clone(&open);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                told.send(listener.local_addr().expect("an address"))
                    .expect("a test");
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Server {
            address: address.recv().expect("an address"),
            open,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Connections that stand.
    pub(crate) fn open(&self) -> usize {
        lock(&self.open).len()
    }

    /// Cuts one of the connections. False where there is none.
    pub(crate) fn cut(&self, rng: &mut fastrand::Rng, how: Cut) -> bool {
        let mut open = lock(&self.open);
        let mut numbers: Vec<u64> = open.keys().copied().collect();
        if numbers.is_empty() {
            return false;
        }
        numbers.sort_unstable();
        let number = numbers[rng.usize(..numbers.len())];
        let cut = open.remove(&number).expect("it is there");
        cut.send(how).is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, open: Open) {
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept().await {
        number += 1;
        let (cut, cutting) = oneshot::channel();
        let open = Arc::clone(&open);
        tokio::spawn(async move {
            serve(stream, (number, cut, cutting), &open).await;
            lock(&open).remove(&number);
        });
    }
}

async fn serve(
    stream: TcpStream,
    (number, cut, mut cutting): (u64, oneshot::Sender<Cut>, oneshot::Receiver<Cut>),
    open: &Open,
) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    lock(open).insert(number, cut);
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            how = &mut cutting => {
                if let Ok(Cut::Close(code)) = how {
                    let reason = "on your way".into();
                    let frame = CloseFrame { code: code.into(), reason };
                    let _ = socket.close(Some(frame)).await;
                }
                return;
            }
        };
        let answer = match message {
            Some(Ok(Message::Text(text))) => Message::text(answer(&text)),
            Some(Ok(Message::Binary(bytes))) => Message::Binary(bytes),
            // Pings are answered, and a close is, by the library.
            Some(Ok(_)) => continue,
            Some(Err(_)) | None => return,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

fn answer(text: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let key = |name: &str| json.as_ref().and_then(|json| json.get(name)).cloned();
    if let Some(id) = key("req_id") {
        format!(r#"{{"success":true,"ret_msg":"","req_id":{id},"op":"subscribe"}}"#)
    } else if let Some(id) = key("id") {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":true}}"#)
    } else {
        text.to_owned()
    }
}
