//! What the proxy does to connections.

use std::io;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::assert_error;
use super::common::engine::{Connection, Engine, Fault, Mode, Options, Proxy, Server, eventually};

/// A client that knows how long to wait.
struct Client {
    connection: Connection,
    stream: TcpStream,
}

impl Client {
    fn of(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let client = Self { connection: Connection::over(stream.try_clone().unwrap()), stream };
        client.wait(Duration::from_secs(10));
        client
    }

    fn wait(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
    }

    #[track_caller]
    fn assert_no_reply(&mut self, words: &[&str]) {
        self.wait(Duration::from_millis(100));
        assert_eq!(self.connection.command(words).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        self.wait(Duration::from_secs(10));
    }
}

impl Deref for Client {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

fn server_and_proxy() -> impl Iterator<Item = (Server, Proxy)> {
    Engine::all().into_iter().map(|engine| {
        let server = Server::start(engine, Options::new());
        let proxy = Proxy::to(server.port());
        (server, proxy)
    })
}

#[track_caller]
fn assert_cut<T: std::fmt::Debug>(result: io::Result<T>) {
    let kind = result.unwrap_err().kind();
    assert!([io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&kind), "{kind:?}");
}

#[test]
fn it_passes_and_counts_what_it_is_not_told_to_touch() {
    for (server, proxy) in server_and_proxy() {
        let mut client = Client::of(&proxy);
        // Replies of every shape, and two commands at once.
        let value = "line\r\nline".repeat(10_000);
        assert_eq!(client.command(&["SET", "key", &value]).unwrap(), "OK".into());
        client.send(&["GET", "key"]).unwrap();
        client.send(&["MGET", "key", "none"]).unwrap();
        assert_eq!(client.reply().unwrap().text(), value);
        assert_eq!(client.reply().unwrap().array()[0].text(), value);
        assert_error(&client.command(&["HGET", "key", "field"]).unwrap(), "WRONGTYPE");
        assert_eq!(client.command(&["HELLO", "2"]).unwrap().field("role"), "master");
        assert_eq!(client.command(&["INCR", "number"]).unwrap().integer(), 1);
        let commands = proxy.commands();
        assert_eq!(commands[1..], ["GET key", "MGET key none", "HGET key field", "HELLO 2", "INCR number"]);
        assert_eq!((proxy.connections(), proxy.fired()), (1, 0));
        drop(proxy);
        assert_cut(client.command(&["PING"]));
        assert_eq!(server.command(&["GET", "key"]).text(), value);
    }
}

#[test]
fn it_holds_all_or_one_and_goes_on() {
    for (server, proxy) in server_and_proxy() {
        let mut clients = [Client::of(&proxy), Client::of(&proxy)];
        for client in &mut clients {
            assert_eq!(client.command(&["PING"]).unwrap(), "PONG".into());
        }
        proxy.set(Mode::Hold);
        for client in &mut clients {
            client.assert_no_reply(&["INCR", "number"]);
        }
        Client::of(&proxy).assert_no_reply(&["PING"]);
        assert_eq!(server.command(&["EXISTS", "number"]).integer(), 0);
        proxy.set(Mode::Pass);
        let mut numbers = clients.each_mut().map(|client| client.reply().unwrap().integer());
        numbers.sort();
        assert_eq!(numbers, [1, 2]);

        proxy.set_one(0, Mode::Hold);
        clients[0].assert_no_reply(&["INCR", "number"]);
        assert_eq!(clients[1].command(&["INCR", "number"]).unwrap().integer(), 3);
        proxy.set_one(0, Mode::Pass);
        assert_eq!(clients[0].reply().unwrap().integer(), 4);
    }
}

#[test]
fn it_refuses_and_listens_again() {
    for (server, proxy) in server_and_proxy() {
        let mut client = Client::of(&proxy);
        assert_eq!(client.command(&["PING"]).unwrap(), "PONG".into());
        proxy.set(Mode::Refuse);
        assert_cut(client.command(&["PING"]));
        let refused = TcpStream::connect(("127.0.0.1", proxy.port()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        proxy.set(Mode::Pass);
        assert_eq!(Client::of(&proxy).command(&["PING"]).unwrap(), "PONG".into());
        server.kill();
        assert_cut(Client::of(&proxy).command(&["PING"]));
    }
}

#[test]
fn it_drops_replies_of_what_was_carried_out() {
    for (server, proxy) in server_and_proxy() {
        let mut client = Client::of(&proxy);
        proxy.set(Mode::DropReplies);
        client.assert_no_reply(&["INCR", "number"]);
        assert_eq!(server.command(&["GET", "number"]), "1".into());
        proxy.set(Mode::Pass);
        // It would be taken for the reply that was lost.
        client.assert_no_reply(&["INCR", "number"]);
        assert_eq!(Client::of(&proxy).command(&["INCR", "number"]).unwrap().integer(), 3);
    }
}

#[test]
fn it_cuts_at_the_command_that_is_named() {
    for (server, proxy) in server_and_proxy() {
        let number = || server.command(&["GET", "number"]);
        let mut client = Client::of(&proxy);
        proxy.plan(&["INCR", "number"], 2, Fault::CutBefore);
        assert_eq!(client.command(&["INCR", "number"]).unwrap().integer(), 1);
        assert_eq!(client.command(&["INCR", "another"]).unwrap().integer(), 1);
        assert_cut(client.command(&["INCR", "number"]));
        assert_eq!((number(), proxy.fired()), ("1".into(), 1));

        // Of two that are sent at once, the second one's reply; the first one's comes.
        let mut client = Client::of(&proxy);
        proxy.plan(&["INCR", "number"], 1, Fault::CutAfter);
        client.send(&["PING"]).unwrap();
        client.send(&["INCR", "number"]).unwrap();
        assert_eq!(client.reply().unwrap(), "PONG".into());
        assert_cut(client.reply());
        assert_eq!((number(), proxy.fired()), ("2".into(), 2));

        let mut client = Client::of(&proxy);
        proxy.plan(&["number"], 1, Fault::DropReplies);
        assert_eq!(client.command(&["PING"]).unwrap(), "PONG".into());
        client.assert_no_reply(&["INCR", "number"]);
        client.assert_no_reply(&["PING"]);
        assert_eq!((number(), proxy.fired()), ("3".into(), 3));

        let mut client = Client::of(&proxy);
        proxy.plan(&["INCR"], 1, Fault::Hold);
        client.assert_no_reply(&["INCR", "number"]);
        assert_eq!((number(), proxy.fired()), ("3".into(), 4));
        proxy.set(Mode::Pass);
        assert_eq!(client.reply().unwrap().integer(), 4);

        proxy.cut();
        assert_cut(client.command(&["PING"]));
        assert_eq!(proxy.connections(), 4);
        let gone = || server.info("connected_clients").as_deref() == Some("1");
        eventually("the server sees that they are gone", || gone().then_some(()));
    }
}
