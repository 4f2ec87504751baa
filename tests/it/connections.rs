//! What a connection may hold, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nephron_model::EntryKind;
use nephron_tests::{MockModel, Rig, Served, Setup};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::memory::Process;

/// Lets text that was cleared by Safe Harbor go to the mock, which has no agreement.
const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";
/// For what must come: longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection from an address of this machine.
async fn connect(served: &Served, from: &str) -> TcpStream {
    let address: SocketAddr = served.url["http://".len()..].parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    socket.bind(from).unwrap();
    socket.connect(address).await.unwrap()
}

/// Asks whether it lives, and reads the answer, if there is one.
async fn is_served(stream: &mut TcpStream) -> bool {
    // It may be closed already.
    let asked = stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let mut said = Vec::new();
    while asked.is_ok() && !said.ends_with(b"ok\n") {
        match stream.read_buf(&mut said).await {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => return false,
        }
    }
    asked.is_ok() && said.starts_with(b"HTTP/1.1 200 ")
}

/// How many refusals of that code were counted in the host's log.
fn counted(rig: &Rig, code: &str) -> u64 {
    let entries = rig.host_entries();
    let counts = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::RequestsCounted);
    counts
        .filter_map(|entry| entry.header.counts.get(code))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_source_takes_the_place_of_others_and_all_together_are_bounded() {
    let listen = "connections = 3\nconnections-per-source = 1\n";
    let served = Setup::default().serve(listen).await;
    let mut first = connect(&served, "127.0.0.1").await;
    assert!(is_served(&mut first).await);
    let mut beyond = connect(&served, "127.0.0.1").await;
    let is_beyond_served = tokio::time::timeout(PATIENCE, is_served(&mut beyond)).await;
    assert!(!is_beyond_served.unwrap(), "one source has two");
    let mut others = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3"] {
        let mut other = connect(&served, from).await;
        assert!(is_served(&mut other).await, "{from}");
        others.push(other);
    }
    // All places are taken: it waits until one is given back.
    let mut waiting = connect(&served, "127.0.0.4").await;
    let mut asked = Box::pin(is_served(&mut waiting));
    let early = tokio::time::timeout(Duration::from_millis(500), &mut asked).await;
    assert!(early.is_err(), "four connections of three");
    drop(first);
    assert!(tokio::time::timeout(PATIENCE, asked).await.unwrap());
    drop((others, waiting));
    let rig = served.reopened().await;
    assert_eq!(counted(&rig, "too-many-connections"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_and_is_no_refusal() {
    let served = Setup::default().serve("idle-time = \"1s\"\n").await;
    let mut http_1 = served.connect().await;
    assert!(is_served(&mut http_1).await);
    let handshake = hyper::client::conn::http2::handshake(
        TokioExecutor::new(),
        TokioIo::new(served.connect().await),
    );
    // It answers pings for as long as it is polled.
    let (mut sender, connection) = handshake.await.unwrap();
    let http_2 = tokio::spawn(connection);
    let request = Request::get("http://x/livez").body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer.into_body().collect().await.unwrap());
    let ended = tokio::time::timeout(PATIENCE, http_2).await;
    drop(ended.unwrap().unwrap());
    let ended = tokio::time::timeout(PATIENCE, http_1.read(&mut [0])).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
    drop(sender);
    let rig = served.reopened().await;
    assert_eq!(counted(&rig, "too-slow"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_holds_its_callers_place_and_not_for_ever() {
    let model = MockModel::start(200, "About {user}").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let listen = "requests-per-caller = 1\nbody-time = \"5s\"\n";
    let served = setup.serve(listen).await;
    let message = json!({ "role": "user", "content": "word ".repeat(10_000) });
    let long = json!({ "model": "clinical", "messages": [message] });
    let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    http.initial_stream_window_size(1024);
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http.handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://x/v1/chat/completions")
        .header("authorization", format!("Bearer {}", served.physician))
        .body(Full::new(Bytes::from(long.to_string())));
    let unread = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(unread.status(), 200);

    let message = json!({ "role": "user", "content": "Hello." });
    let short = json!({ "model": "clinical", "messages": [message] });
    let refused = served.chat(&short).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert_eq!(refused.json()["error"]["code"], "caller-too-busy");
    // Whoever does not read for so long loses the connection, and with it what it held.
    let ended = tokio::time::timeout(PATIENCE, connection).await;
    drop(ended.unwrap().unwrap());
    assert!(unread.into_body().collect().await.is_err(), "it was whole");
    let again = async {
        loop {
            let answer = served.chat(&short).await;
            if answer.status != 429 {
                break answer.status;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, again).await.unwrap(), 200);
    drop(sender);
    let rig = served.reopened().await;
    assert_eq!(counted(&rig, "answer-not-read"), 1);
}

/// What a process says whether it is ready, on a connection of its own; nothing if there is none to be had.
async fn readiness(process: &Process) -> Option<String> {
    let mut stream = TcpStream::connect(&process.address).await.ok()?;
    let asked = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.ok()?;
    Some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_stop_says_so_serves_on_for_a_while_and_ends_well() {
    let listen = "drain-delay = \"10s\"\n";
    let mut process = tokio::task::block_in_place(|| Process::start_with(listen));
    let ready = readiness(&process).await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    process.signal("TERM");
    let not_ready = async {
        loop {
            let said = readiness(&process).await.expect("it accepts");
            if said.starts_with("HTTP/1.1 503 ") {
                return said;
            }
        }
    };
    let said = tokio::time::timeout(PATIENCE, not_ready).await.unwrap();
    assert!(said.ends_with("\r\n\r\nstopping\n"), "{said}");
    // Clients that a balancer has sent here meanwhile are served.
    process.chat(false).await;
    process.chat(true).await;
    let ended = async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            if let Some(ended) = process.ended() {
                return ended;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, ended).await.unwrap());
    assert_eq!(readiness(&process).await, None);
}
