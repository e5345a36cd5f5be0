//! The protocol of Redis, as far as the tests need it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Text(String),
    Integer(i64),
    Error(String),
    Array(Vec<Reply>),
}

impl Reply {
    pub fn text(&self) -> &str {
        let Self::Text(text) = self else { panic!("no text: {self:?}") };
        text
    }

    pub fn integer(&self) -> i64 {
        let Self::Integer(number) = self else { panic!("no integer: {self:?}") };
        *number
    }

    pub fn array(&self) -> &[Reply] {
        let Self::Array(items) = self else { panic!("no array: {self:?}") };
        items
    }

    /// Returns the field of this name, of a reply that lists names and values in turn.
    pub fn field(&self, name: &str) -> &str {
        let field = self.array().chunks(2).find(|pair| pair[0].text() == name);
        field.unwrap_or_else(|| panic!("no field {name}: {self:?}"))[1].text()
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A connection on which commands are sent one after the other.
pub struct Connection(BufReader<Box<dyn Stream>>);

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Connection {
    /// How long a reply may take.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Connects to a port of this machine, as a client does.
    pub fn to_port(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Self::PATIENCE))?;
        Ok(Self::over(stream))
    }

    /// Connects to a socket in the file system.
    pub fn to_socket(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Self::PATIENCE))?;
        Ok(Self::over(stream))
    }

    /// Speaks over any stream, which may be encrypted.
    pub fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    pub fn command(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.send(words)?;
        self.reply()
    }

    /// Sends a command and does not wait for its reply.
    pub fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(command.as_bytes())
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        Ok(parse(&mut &*read_frame(&mut self.0)?))
    }
}

/// Reads one command or one reply, and returns its bytes.
pub fn read_frame(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    read_onto(&mut frame, from)?;
    Ok(frame)
}

fn read_onto(frame: &mut Vec<u8>, from: &mut impl BufRead) -> io::Result<()> {
    let start = frame.len();
    from.read_until(b'\n', frame)?;
    let line = &frame[start..];
    if !line.ends_with(b"\r\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let size = std::str::from_utf8(&line[1..line.len() - 2]).ok().and_then(|size| size.parse().ok());
    let parts = match (line[0], size) {
        (b'$' | b'=' | b'!', Some(size @ 0..)) => {
            let wanted = size as u64 + 2;
            let read = from.take(wanted).read_to_end(frame)?;
            return if read as u64 == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        (b'*' | b'~' | b'>', Some(size)) => size,
        (b'%', Some(size)) => 2 * size,
        // Attributes, before what they belong to.
        (b'|', Some(size)) => 2 * size + 1,
        _ => 0,
    };
    (0..parts).try_for_each(|_| read_onto(frame, from))
}

/// Reads a reply of version 2 of the protocol, the version of a connection that asked for no other.
fn parse(frame: &mut &[u8]) -> Reply {
    let end = frame.windows(2).position(|two| two == b"\r\n").unwrap();
    let line = String::from_utf8_lossy(&frame[1..end]).into_owned();
    let kind = frame[0];
    *frame = &frame[end + 2..];
    match kind {
        b'+' => Reply::Text(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Integer(line.parse().unwrap()),
        b'$' | b'*' if line == "-1" => Reply::Nil,
        b'$' => {
            let (text, rest) = frame.split_at(line.parse().unwrap());
            *frame = &rest[2..];
            Reply::Text(String::from_utf8_lossy(text).into_owned())
        }
        b'*' => Reply::Array((0..line.parse().unwrap()).map(|_| parse(frame)).collect()),
        _ => panic!("no reply of version 2: {:?}", kind as char),
    }
}
