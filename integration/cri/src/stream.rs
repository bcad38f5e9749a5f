//! Streams of exec and attach. The service answers with an address, and the kubelet's client goes there; here with the
//! WebSocket protocol `v4.channel.k8s.io`, in which the first byte of a message tells the stream.

use crate::kubelet::{Kubelet, Result};
use crate::lifecycle::WAITS;
use k8s_cri::v1::{AttachRequest, ExecRequest};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Status;

const STDIN: u8 = 0;
const RESIZE: u8 = 4;

struct Socket(TcpStream);

impl Socket {
    async fn open(url: &str) -> Result<Socket> {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let (host, path) = address.split_once('/').ok_or_else(|| Status::internal(format!("no path in {url}")))?;
        let mut stream = TcpStream::connect(host).await?;
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: http://{host}\r\n\
             Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        let answer = String::from_utf8_lossy(&answer);
        match answer.lines().next() {
            Some(line) if line.contains(" 101 ") => Ok(Socket(stream)),
            line => Err(Status::internal(format!("{line:?}"))),
        }
    }

    /// A short binary message; a client's are masked (RFC 6455, 5.3), and a mask of zeros changes nothing.
    async fn send(&mut self, stream: u8, text: &[u8]) -> Result<()> {
        let length = u8::try_from(text.len() + 1).expect("a short message");
        assert!(length < 126, "a short message");
        let mut frame = vec![0x82, 0x80 | length, 0, 0, 0, 0, stream];
        frame.extend(text);
        Ok(self.0.write_all(&frame).await?)
    }

    /// A message's stream and text; none at the end.
    async fn receive(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            let Ok(kind) = self.0.read_u8().await else { return Ok(None) };
            let length = match self.0.read_u8().await? & 0x7f {
                126 => self.0.read_u16().await?.into(),
                127 => self.0.read_u64().await?,
                short => short.into(),
            };
            let mut text = vec![0; usize::try_from(length).expect("a length")];
            self.0.read_exact(&mut text).await?;
            match kind & 0x0f {
                8 => return Ok(None),
                1 | 2 if !text.is_empty() => return Ok(Some((text.remove(0), text))),
                _ => (),
            }
        }
    }

    /// All that comes, by stream, until the end or until standard output contains the text.
    async fn collect(&mut self, until: Option<&str>) -> Result<BTreeMap<u8, String>> {
        let mut streams = BTreeMap::<u8, String>::new();
        while let Some((stream, text)) = self.receive().await? {
            streams.entry(stream).or_default().push_str(&String::from_utf8_lossy(&text));
            if until.is_some_and(|text| streams.get(&1).is_some_and(|out| out.contains(text))) {
                break;
            }
        }
        Ok(streams)
    }
}

fn print(name: &str, streams: &BTreeMap<u8, String>) {
    for (stream, text) in streams.iter().filter(|(_, text)| !text.is_empty()) {
        println!("{name} {stream}: {text:?}");
    }
}

fn request(id: &str, script: &str, stdin: bool, tty: bool) -> ExecRequest {
    let cmd = ["sh", "-c", script].map(str::to_owned).to_vec();
    ExecRequest { container_id: id.to_owned(), cmd, tty, stdin, stdout: true, stderr: !tty }
}

pub async fn exec(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let id = kubelet.run(&pod, "c", WAITS, |_| ()).await?;
    let scripts = [("good", "echo out; echo err >&2"), ("bad", "echo out; exit 3"), ("killed", "kill -KILL $$")];
    for (name, script) in scripts {
        let url = kubelet.runtime.exec(request(&id, script, false, false)).await?.into_inner().url;
        print(name, &Socket::open(&url).await?.collect(None).await?);
    }
    let mut missing = request(&id, "", false, false);
    missing.cmd = vec!["missing".to_owned()];
    let url = kubelet.runtime.exec(missing).await?.into_inner().url;
    print("missing", &Socket::open(&url).await?.collect(None).await?);
    let url = kubelet.runtime.exec(request(&id, "read line; echo got $line", true, false)).await?.into_inner().url;
    let mut socket = Socket::open(&url).await?;
    socket.send(STDIN, b"typed\n").await?;
    print("input", &socket.collect(None).await?);
    Ok(())
}

pub async fn exec_terminal(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    let id = kubelet.run(&pod, "c", WAITS, |_| ()).await?;
    let script = "tty; trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done";
    let url = kubelet.runtime.exec(request(&id, script, true, true)).await?.into_inner().url;
    let mut socket = Socket::open(&url).await?;
    print("before", &socket.collect(Some("ready")).await?);
    socket.send(RESIZE, br#"{"Width": 101, "Height": 37}"#).await?;
    print("after", &socket.collect(None).await?);
    Ok(())
}

/// `stdin: true, tty: true`, and `kubectl attach`.
pub async fn attach(kubelet: &mut Kubelet) -> Result<()> {
    let pod = kubelet.plain_pod().await?;
    for (name, tty) in [("plain", false), ("terminal", true)] {
        let script = "while read line; do echo got $line; [ $line = end ] && exit 6; done";
        let id = kubelet.run(&pod, name, script, |config| {
            config.stdin = true;
            config.tty = tty;
        });
        let id = id.await?;
        let request = AttachRequest { container_id: id.clone(), stdin: true, tty, stdout: true, stderr: !tty };
        let url = kubelet.runtime.attach(request).await?.into_inner().url;
        let mut socket = Socket::open(&url).await?;
        socket.send(STDIN, b"one\n").await?;
        let heard = socket.collect(Some("got one")).await?;
        println!("{name}: {}", heard.contains_key(&1));
        socket.send(STDIN, b"end\n").await?;
        println!("{name}: {}", kubelet.wait(&id).await?.exit_code);
        println!("{}", kubelet.log(&pod, name)?);
    }
    Ok(())
}
