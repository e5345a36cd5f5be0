//! Every fault of a service, a network or a gateway, for everything that a program can call: what the error says, or that the call recovers,
//! and how many requests the client sends.
//!
//! Each cell runs twice, each time with a service and a client of its own: with a fault that lasts, and with good answers after the first
//! request, which are the examples of the specs. No cell waits: the time of the client and of the HTTP library moves when the service keeps
//! the client waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "faults/cell.rs"]
mod cell;
#[path = "faults/fault.rs"]
mod fault;
#[path = "faults/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cell::{Call, Cell, Expected};
use common::services::{Held, SERVICES, Way};
use common::spec::Spec;

/// The table has a row for each fault: how many requests the client sends while the fault lasts, and what the error says. The first columns are
/// for the operations, by when they may be sent again. The others are for the methods that return a cached token, by how they get one: they
/// `make` it; they `renew` it, or else request it with the password; they `extend` it, or else make it; or they `rotate` it and can do nothing
/// else. What applies to one service alone is among its exceptions, see `common/services`.
///
/// - `4`: the client makes all attempts; `3`: as many as there is time for. If the service answers well after the first request, the client
///   sends 2 requests and the call succeeds. Each attempt sends the same request, after a wait that doubles or that the service asked for.
/// - `1`: the client sends one request and never repeats it, whatever the service would answer next.
/// - `1+4`: the client continues with another operation, after the wait that the service asked for. If it cannot refresh a token, it requests
///   one with the password; if it cannot extend one, it makes one. If the answer to a request for a new token is lost, it searches for the
///   token, and requests another if there is none. If the service answers well after the first request, the client sends one request of each
///   operation until it has a token, and the call succeeds.
/// - `ok`: the client sends one request, and the call succeeds.
///
/// What an error says is its status and its predicates, with `perhaps_done` for `is_ambiguous`, and `wait:7` if its `retry_after` is seven
/// seconds.
#[rustfmt::skip]
const TABLE: &str = "
fault                             | idempotent  repeatable  once  | make   renew  extend   rotate | says

# Before there is a connection: the numbers are of tries.
connection refused                | 4           4           4     | 4      4      4        4      | connect transient
TLS without an end                | 4           4           4     | 4      4      4        4      | connect timeout transient
no TLS                            | 1           1           1     | 1      1      1+1      1      | connect

# The answer is lost.
reset before the request          | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
reset after the request           | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
reset after it, kept connection   | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
closed after the request          | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
closed before it, kept connection | ok          ok          ok    | ok     ok     ok       ok     |
closed after it, kept connection  | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
half a head                       | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
head without an end               | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
no HTTP                           | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
100 and no more                   | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
odd Content-Length                | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
two Content-Lengths               | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
half an answer                    | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
half of the chunks                | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
odd chunks                        | 4           1           1     | 1+4    1+1    4        1      | transient perhaps_done
no answer                         | 3           1           1     | 1+3    1+1    3        1      | timeout transient perhaps_done
slow drip, head                   | 3           1           1     | 1+3    1+1    3        1      | timeout transient perhaps_done
slow drip, body                   | 3           1           1     | 1+3    1+1    3        1      | timeout transient perhaps_done

# A success that is none.
huge body                         | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
huge body, announced              | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
bad JSON                          | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
cut JSON                          | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
wrong types                       | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
HTML                              | 4           4           1     | 1+4    1+4    4        1      | 200 transient perhaps_done
blank                             | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
empty                             | 1           1           1     | 1+1    1+1    1+1+1    1      | 200 decode
204                               | 1           1           1     | 1+1+1  1+1    1+1+1+1  1      | 204 decode
success: false                    | 1           1           1     | 1      1+1    1+1      1      | 200

# Neither a success nor a refusal: a redirect is not followed.
101                               | 1           1           1     | 1      1+1    1+1      1      | 101
300                               | 1           1           1     | 1      1+1    1+1      1      | 300
301                               | 1           1           1     | 1      1+1    1+1      1      | 301
302                               | 1           1           1     | 1      1+1    1+1      1      | 302
302, Retry-After 7                | 1           1           1     | 1      1+1    1+1      1      | 302 wait:7
303                               | 1           1           1     | 1      1+1    1+1      1      | 303
302, elsewhere                    | 1           1           1     | 1      1+1    1+1      1      | 302
303, elsewhere                    | 1           1           1     | 1      1+1    1+1      1      | 303
304                               | 1           1           1     | 1      1+1    1+1      1      | 304
307                               | 1           1           1     | 1      1+1    1+1      1      | 307
308                               | 1           1           1     | 1      1+1    1+1      1      | 308

# Refusals.
400                               | 1           1           1     | 1      1+1    1+1      1      | 400 invalid_input
401                               | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
401, HTML                         | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
401, half of it                   | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
401, huge body                    | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
402                               | 1           1           1     | 1      1+1    1+1      1      | 402
403                               | 1           1           1     | 1      1+1    1        1      | 403
403, HTML                         | 1           1           1     | 1      1+1    1        1      | 403
403, success: true                | 1           1           1     | 1      1+1    1        1      | 403
404                               | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
404, HTML                         | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
406                               | 1           1           1     | 1      1+1    1+1      1      | 406 invalid_input
408                               | 1           1           1     | 1+1    1+1    1        1      | 408 perhaps_done
418                               | 1           1           1     | 1      1+1    1+1      1      | 418
422                               | 1           1           1     | 1      1+1    1+1      1      | 422 invalid_input

# Too many requests.
429                               | 4           4           4     | 4      4      4        4      | 429 rate_limited transient
429, HTML                         | 4           4           4     | 4      4      4        4      | 429 rate_limited transient
429, Retry-After 0                | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:0
429, Retry-After 7                | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:7
429, Retry-After date 7           | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:7
429, Retry-After RFC 850 date 7   | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:7
429, Retry-After asctime date 7   | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:7
429, Retry-After date 7 of theirs | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:7
429, Retry-After date past        | 4           4           4     | 4      4      4        4      | 429 rate_limited transient wait:0
429, Retry-After nonsense         | 4           4           4     | 4      4      4        4      | 429 rate_limited transient
429, Retry-After blank            | 4           4           4     | 4      4      4        4      | 429 rate_limited transient
429, Retry-After -1               | 4           4           4     | 4      4      4        4      | 429 rate_limited transient
429, Retry-After 1.5              | 4           4           4     | 4      4      4        4      | 429 rate_limited transient
429, Retry-After 30               | 2           2           2     | 2      2      2        2      | 429 rate_limited transient wait:30
429, Retry-After 31               | 1           1           1     | 1      1      1        1      | 429 rate_limited transient wait:31
429, Retry-After date 31          | 1           1           1     | 1      1      1        1      | 429 rate_limited transient wait:31

# The service fails, or what stands before it.
500                               | 1           1           1     | 1+1    1+1    1        1      | 500 perhaps_done
500, HTML                         | 1           1           1     | 1+1    1+1    1        1      | 500 perhaps_done
501                               | 1           1           1     | 1+1    1+1    1        1      | 501 perhaps_done
502                               | 4           4           1     | 1+4    1+4    4        1      | 502 transient perhaps_done
502, HTML                         | 4           4           1     | 1+4    1+4    4        1      | 502 transient perhaps_done
502, Retry-After 7                | 4           4           1     | 1+4    1+4    4        1      | 502 transient perhaps_done wait:7
503                               | 4           4           1     | 1+4    1+4    4        1      | 503 transient perhaps_done
503, half of it                   | 4           4           1     | 1+4    1+4    4        1      | 503 transient perhaps_done
503, Retry-After 7                | 4           4           1     | 1+4    1+4    4        1      | 503 transient perhaps_done wait:7
503, Retry-After date 7           | 4           4           1     | 1+4    1+4    4        1      | 503 transient perhaps_done wait:7
503, Retry-After 31               | 1           1           1     | 1      1      1        1      | 503 transient perhaps_done wait:31
504                               | 4           4           1     | 1+4    1+4    4        1      | 504 transient perhaps_done
504, Retry-After 7                | 4           4           1     | 1+4    1+4    4        1      | 504 transient perhaps_done wait:7
505                               | 1           1           1     | 1+1    1+1    1        1      | 505 perhaps_done
507                               | 1           1           1     | 1+1    1+1    1        1      | 507 perhaps_done
511                               | 1           1           1     | 1+1    1+1    1        1      | 511 perhaps_done

# What a code says.
402, code 125                     | 1           1           1     | 1      1+1    1+1      1      | 402
404, code 120                     | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
404, code 150                     | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
404, code 200                     | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
404, code 220                     | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
404, code 610                     | 1           1           1     | 1      1+1    1+1      1      | 404 not_found
400, code invalid_client          | 1           1           1     | 1      1      1+1      1      | 400 invalid_input
401, code invalid_client          | 1           1           1     | 1      1      1        1      | 401 unauthorized
400, code invalid_grant           | 1           1           1     | 1      1+1    1+1      1      | 400 invalid_input
401, code invalid_grant           | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
400, code invalid_request         | 1           1           1     | 1      1+1    1+1      1      | 400 invalid_input
401, code invalid_request         | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
401, code invalid_credentials     | 1           1           1     | 1      1+1    1        1      | 401 unauthorized
";

struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    fault: &'static str,
    requests: Vec<&'static str>,
    says: &'static str,
}

impl Table {
    fn read() -> Self {
        let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut rows = lines.map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [fault, operations, methods, says] = parts.try_into().unwrap_or_else(|_| panic!("four parts: {line}"));
            Row { fault, requests: operations.split_whitespace().chain(methods.split_whitespace()).collect(), says }
        });
        let columns = rows.next().unwrap().requests;
        let rows: Vec<Row> = rows.collect();
        for Row { fault, requests, .. } in &rows {
            assert_eq!(requests.len(), columns.len(), "{fault}");
            assert_eq!(rows.iter().filter(|row| row.fault == *fault).count(), 1, "{fault}");
        }
        Self { columns, rows }
    }

    /// Returns the expected outcome of a fault that lasts.
    fn lasting(&self, row: &Row, call: &Call) -> Expected {
        let way = &call.way;
        let column = self.columns.iter().position(|column| *column == way.column).expect("a column of the table");
        let (mut requests, mut says) = (row.requests[column], row.says);
        let exceptions = call.service.exceptions.iter();
        for (_, _, other_requests, other_says) in
            exceptions.filter(|(fault, of, ..)| *fault == row.fault && [way.name, way.column, "*"].contains(of))
        {
            requests = if other_requests.is_empty() { requests } else { other_requests };
            says = if other_says.is_empty() { says } else { other_says };
        }
        match (says, requests) {
            ("ok", _) | (_, "ok") => Expected { says: None, requests: vec![1] },
            (says, requests) => Expected {
                says: Some(says.to_owned()),
                requests: requests.split('+').map(|number| number.parse().unwrap()).collect(),
            },
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for row in &self.rows {
            for call in calls() {
                let lasting = self.lasting(row, &call);
                let passing = passing(&lasting, &call);
                for (lasts, expected) in [(true, lasting), (false, passing)] {
                    cells.push(Cell { fault: row.fault, call, lasts, expected });
                }
            }
        }
        cells
    }
}

/// Returns the expected outcome of a fault that is followed by good answers.
fn passing(lasting: &Expected, call: &Call) -> Expected {
    match lasting.requests.as_slice() {
        [1] => lasting.clone(),
        [_] => Expected { says: None, requests: vec![2] },
        _ => Expected { says: None, requests: call.recovered() },
    }
}

/// Lists all that can be called: every operation of every service, and every further way.
fn calls() -> impl Iterator<Item = Call> {
    SERVICES.into_iter().flat_map(|service| {
        let operations = service.operations.iter().map(|operation| Way {
            name: operation.name,
            column: operation.retry.column(),
            operations: slice::from_ref(&operation.name),
            held: Held::Nothing,
        });
        operations.chain(service.ways.iter().copied()).map(move |way| Call { service, way })
    })
}

#[test]
fn every_fault_ends_as_the_table_says() {
    let cells = Arc::new(Table::read().cells());
    let next = Arc::new(AtomicUsize::new(0));
    let (report, reports) = mpsc::channel();
    for _ in 0..4 {
        let (report, cells, next) = (report.clone(), Arc::clone(&cells), Arc::clone(&next));
        std::thread::spawn(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(cell) = cells.get(number) else { return };
                let differences = catch_unwind(AssertUnwindSafe(|| cell.differences(&listener)));
                let _ = report.send((number, differences.unwrap_or_else(|_| vec!["a panic".to_owned()])));
            }
        });
    }
    drop(report);
    let (mut found, mut open) = (Vec::new(), (0..cells.len()).collect::<BTreeSet<_>>());
    // Only a failure of this test waits.
    while let Ok((number, differences)) = reports.recv_timeout(Duration::from_secs(60)) {
        open.remove(&number);
        found.extend(differences.into_iter().map(|difference| (number, format!("{}: {difference}", cells[number]))));
    }
    let started = next.load(Ordering::Relaxed);
    for number in open.into_iter().filter(|number| *number < started) {
        found.push((number, format!("{}: no end", cells[number])));
    }
    found.sort();
    let lines: Vec<_> = found.into_iter().map(|(_, line)| line).collect();
    assert!(lines.is_empty(), "{} differences in {} cells:\n{}", lines.len(), cells.len(), lines.join("\n"));
    assert!(started >= cells.len(), "{started} of {} cells were begun", cells.len());
}

#[test]
fn every_optional_parameter_and_every_status_of_the_specs_is_in_the_table() {
    let table = Table::read();
    let columns: BTreeSet<_> = calls().map(|call| call.way.column).collect();
    assert_eq!(columns, table.columns.iter().copied().collect());
    for service in SERVICES {
        let spec = Spec::of(service);
        let calls = calls().filter(|call| std::ptr::eq(call.service, service));
        let names: BTreeSet<_> = calls.map(|call| call.way.name).collect();
        for (_, _, operation) in spec.operations() {
            // What may be left out is called with it and without it, unless the client always sends it.
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.map(|parameter| spec.resolve(parameter)).filter(|it| it["in"] == "query") {
                let (id, name) = (operation["operationId"].as_str().unwrap(), parameter["name"].as_str().unwrap());
                let is_optional = !service.always.contains(&name);
                assert_eq!(names.contains(format!("{id}?{name}").as_str()), is_optional, "{id} {name}");
            }
            for status in operation["responses"].as_object().unwrap().keys() {
                assert!(status == "200" || table.rows.iter().any(|row| row.fault == status), "{status}");
            }
        }
        // Each grant is an operation.
        if let Some(grants) = spec.document()["components"]["schemas"]["TokenRequest"]["discriminator"].get("mapping") {
            let marks: BTreeSet<_> = service.operations.iter().map(|operation| operation.mark.to_owned()).collect();
            let grants = grants.as_object().unwrap().keys().map(|grant| format!("grant_type={grant}"));
            assert_eq!(marks, grants.collect());
        }
        for (fault, of, ..) in service.exceptions {
            let is_known = *of == "*" || names.contains(of) || columns.contains(of);
            assert!(is_known && table.rows.iter().any(|row| row.fault == *fault), "{fault} {of}");
        }
    }
}
