//! A proxy that holds, loses and cuts what passes through it.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::resp::read_frame;
use super::server::free_port;

/// How long the port may take to open or close.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the proxy does with the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forwards it.
    Pass,
    /// Forwards nothing and closes nothing, until the mode is another.
    Hold,
    /// Forwards commands, but no reply. A connection that lost a reply gets no later one in any mode: the client would take that for the lost one.
    DropReplies,
    /// Refuses connections, and cuts the open ones. Only for all connections.
    Refuse,
}

/// What happens to a connection at one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Cuts it before the server gets the command.
    CutBefore,
    /// Cuts it after the server has carried out the command, before the client gets the reply.
    CutAfter,
    /// Holds it before the server gets the command, until [`Proxy::set`] is called.
    Hold,
    /// Lets the server carry out the command, and loses the reply and all that follow.
    DropReplies,
}

/// Forwards connections to a port of this machine. It understands commands and replies, so they must not be encrypted.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    listening: bool,
    ended: bool,
    links: Vec<Link>,
    rules: Vec<Rule>,
    commands: Vec<String>,
    fired: usize,
}

#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    mode: Mode,
    cut: bool,
    /// One for each command whose reply has not come.
    pending: VecDeque<Option<Fault>>,
}

#[derive(Debug)]
struct Rule {
    parts: Vec<String>,
    /// How many commands are let through before.
    spared: usize,
    fault: Fault,
}

impl Link {
    fn cut(&mut self) {
        self.cut = true;
        for stream in [&self.client, &self.server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    pub fn to(server: u16) -> Self {
        let state = State {
            mode: Mode::Pass,
            listening: false,
            ended: false,
            links: Vec::new(),
            rules: Vec::new(),
            commands: Vec::new(),
            fired: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (port, listener) = loop {
            let port = free_port();
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                break (port, listener);
            }
        };
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(listener, port, server)
        });
        Self { port, shared, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sets the mode of all connections, including later ones.
    pub fn set(&self, mode: Mode) {
        let mut state = self.shared.lock();
        state.mode = mode;
        for link in &mut state.links {
            if link.mode == Mode::Hold {
                link.mode = Mode::Pass;
            }
            if mode == Mode::Refuse {
                link.cut();
            }
        }
        self.shared.changed.notify_all();
        let listens = mode != Mode::Refuse;
        if !listens {
            self.wake();
        }
        let done = self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.listening != listens).unwrap();
        assert!(!done.1.timed_out(), "the port {} was taken by somebody else", self.port);
    }

    /// Sets the mode of one connection, by its place in the order in which they came.
    pub fn set_one(&self, connection: usize, mode: Mode) {
        assert_ne!(mode, Mode::Refuse, "it is too late to refuse a connection");
        self.shared.lock().links[connection].mode = mode;
        self.shared.changed.notify_all();
    }

    /// Plans a fault, once, for the `nth` command from now on that has all these parts in its bytes. The first is 1.
    pub fn plan(&self, parts: &[&str], nth: usize, fault: Fault) {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        self.shared.lock().rules.push(Rule { parts, spared: nth - 1, fault });
    }

    /// Returns how many planned faults have happened.
    pub fn fired(&self) -> usize {
        self.shared.lock().fired
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.shared.lock().links.iter_mut().for_each(Link::cut);
        self.shared.changed.notify_all();
    }

    /// Returns how many connections clients have opened.
    pub fn connections(&self) -> usize {
        self.shared.lock().links.len()
    }

    /// Returns the commands that clients have sent, whatever became of them: their words, with spaces between.
    pub fn commands(&self) -> Vec<String> {
        self.shared.lock().commands.clone()
    }

    fn wake(&self) {
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        self.wake();
        let _ = self.accepting.take().map(JoinHandle::join);
        self.cut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn accept(self: &Arc<Self>, mut listener: TcpListener, port: u16, server: u16) {
        loop {
            self.lock().listening = true;
            self.changed.notify_all();
            for client in listener.incoming().flatten() {
                let state = self.lock();
                if state.ended {
                    return;
                }
                if state.mode == Mode::Refuse {
                    break;
                }
                drop(state);
                // To the client, a server that refuses looks like one that closes.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                    self.link(client, server);
                }
            }
            drop(listener);
            let mut state = self.lock();
            state.listening = false;
            self.changed.notify_all();
            state = self.changed.wait_while(state, |state| state.mode == Mode::Refuse && !state.ended).unwrap();
            if state.ended {
                return;
            }
            drop(state);
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    fn link(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let copy = |stream: &TcpStream| stream.try_clone().unwrap();
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let mut state = self.lock();
        let number = state.links.len();
        let (client_copy, server_copy) = (copy(&client), copy(&server));
        let link =
            Link { client: client_copy, server: server_copy, mode: Mode::Pass, cut: false, pending: VecDeque::new() };
        state.links.push(link);
        drop(state);
        let (to_client, to_server) = (copy(&client), copy(&server));
        let shared = Arc::clone(self);
        thread::spawn(move || shared.pump(number, client, to_server, Self::on_command));
        let shared = Arc::clone(self);
        thread::spawn(move || shared.pump(number, server, to_client, Self::on_reply));
    }

    /// Forwards one direction of a connection. Whichever end closes, the other is closed too.
    fn pump(&self, link: usize, from: TcpStream, mut to: TcpStream, look: fn(&Self, usize, &[u8]) -> bool) {
        let mut from = BufReader::new(from);
        while let Ok(frame) = read_frame(&mut from) {
            if look(self, link, &frame) && to.write_all(&frame).is_err() {
                break;
            }
        }
        self.lock().links[link].cut();
        self.changed.notify_all();
    }

    /// Waits while the connection is held.
    fn gate<'a>(&'a self, state: MutexGuard<'a, State>, link: usize) -> MutexGuard<'a, State> {
        let held = |state: &mut State| {
            let one = &state.links[link];
            !one.cut && (state.mode == Mode::Hold || one.mode == Mode::Hold)
        };
        self.changed.wait_while(state, held).unwrap()
    }

    /// Returns whether the command goes on to the server.
    fn on_command(&self, link: usize, frame: &[u8]) -> bool {
        let text = String::from_utf8_lossy(frame);
        let mut state = self.lock();
        state.commands.push(words(&text));
        let mut fault = None;
        state.rules.retain_mut(|rule| {
            if fault.is_some() || !rule.parts.iter().all(|part| text.contains(part.as_str())) {
                return true;
            }
            if rule.spared > 0 {
                rule.spared -= 1;
                return true;
            }
            fault = Some(rule.fault);
            false
        });
        match fault {
            Some(Fault::CutBefore) => {
                state.fired += 1;
                state.links[link].cut();
            }
            Some(Fault::Hold) => {
                state.fired += 1;
                state.links[link].mode = Mode::Hold;
            }
            _ => {}
        }
        state = self.gate(state, link);
        state.links[link].pending.push_back(fault);
        !state.links[link].cut
    }

    /// Returns whether the reply goes on to the client.
    fn on_reply(&self, link: usize, frame: &[u8]) -> bool {
        let mut state = self.lock();
        // A message that the server sends unasked is no reply to a command.
        let fault = if frame[0] == b'>' { None } else { state.links[link].pending.pop_front().flatten() };
        match fault {
            Some(Fault::CutAfter) => {
                state.fired += 1;
                state.links[link].cut();
            }
            Some(Fault::DropReplies) => {
                state.fired += 1;
                state.links[link].mode = Mode::DropReplies;
            }
            _ => {}
        }
        state = self.gate(state, link);
        if state.mode == Mode::DropReplies {
            state.links[link].mode = Mode::DropReplies;
        }
        state.links[link].mode != Mode::DropReplies && !state.links[link].cut
    }
}

/// Returns the words of a command: every other line, from the third on, unless a word has lines.
fn words(frame: &str) -> String {
    let words: Vec<_> = frame.split("\r\n").skip(2).step_by(2).collect();
    words.join(" ").trim_end().to_owned()
}
