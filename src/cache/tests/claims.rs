//! Refresh tokens that work once, and the stores that several programs share: who may send one, and what a failure of the store costs.

mod lost_calls;
mod turns;

use super::*;
use crate::store::Loaded;

/// A service whose refresh tokens work once. It issues `t1` with `r1`, then `t2` with `r2`, and so on.
pub(super) struct Service {
    pub(super) clock: Arc<ManualClock>,
    /// The refresh tokens that were sent, in their order.
    sent: Mutex<Vec<String>>,
    passwords: AtomicUsize,
    issued: AtomicUsize,
    /// Whether the service can be reached.
    is_away: AtomicBool,
    /// Whether it does what is asked, and the response is lost.
    loses_responses: AtomicBool,
    /// A refresh needs a permit to be answered.
    gate: Semaphore,
    /// So does a request with the password.
    password_gate: Semaphore,
}

impl Service {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + 1_000_000 * HOUR)),
            sent: Mutex::default(),
            passwords: AtomicUsize::new(0),
            issued: AtomicUsize::new(0),
            is_away: AtomicBool::new(false),
            loses_responses: AtomicBool::new(false),
            gate: Semaphore::new(1_000_000),
            password_gate: Semaphore::new(1_000_000),
        })
    }

    fn issue(&self, sent: Moment) -> Result<Fetched, Error> {
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let renewal = ExpiringRefreshToken {
            refresh_token: RefreshToken::new(format!("r{number}")),
            expires_at: sent.now + 240 * HOUR,
        };
        let token = ManagedToken { renewal: Some(renewal), ..stored(&format!("t{number}"), sent.now, HOUR) };
        if self.loses_responses.load(Ordering::SeqCst) {
            return Err(Error::new(Kind::Aborted));
        }
        Ok(Fetched { token, sent, operation: OPERATION, is_adopted: false })
    }

    /// Lets no request be answered until the gate has permits again.
    fn hold(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    pub(super) fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }

    pub(super) fn passwords(&self) -> usize {
        self.passwords.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn assert_nothing_sent_twice(&self) {
        let sent = self.sent();
        let distinct: std::collections::HashSet<_> = sent.iter().collect();
        assert_eq!(distinct.len(), sent.len(), "{sent:?}");
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Account;

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the account")
    }
}

/// One program that uses the service.
pub(super) struct Program {
    service: Arc<Service>,
    time: Time,
    rotation: Rotation<Account>,
    has_password: bool,
}

pub(super) fn program(service: &Arc<Service>, time: Time, has_password: bool) -> Program {
    Program { service: Arc::clone(service), time, rotation: Rotation::default(), has_password }
}

impl TokenSource for Program {
    type Key = Account;

    fn record_name(&self, _: &Account) -> String {
        NAME.to_owned()
    }

    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret> {
        vec![Secret::new("the secret of the account")]
    }

    fn operation(&self) -> Operation {
        OPERATION
    }

    fn is_ended_by_refresh(&self, _: &ManagedToken) -> bool {
        true
    }

    fn depends_on_last_token(&self) -> bool {
        !self.has_password
    }

    fn has_sent(&self, account: &Account, token: &ManagedToken) -> bool {
        self.rotation.has_sent(account, token)
    }

    async fn fetch(
        &self,
        account: &Account,
        previous: Option<&ManagedToken>,
        _: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        self.rotation.fetch(self, account, previous).await
    }

    fn is_for(&self, _: &ManagedToken, _: &Account) -> bool {
        true
    }

    fn max_duration(&self) -> Duration {
        MINUTE
    }
}

impl Rotating for Program {
    async fn request(&self, _: &Account) -> Result<Fetched, Error> {
        if !self.has_password {
            return Err(wrong_password());
        }
        self.service.passwords.fetch_add(1, Ordering::SeqCst);
        self.service.password_gate.acquire().await.unwrap().forget();
        self.service.issue(self.time.moment())
    }

    async fn refresh(&self, _: &Account, _: &ManagedToken, token: &RefreshToken) -> Result<Fetched, Error> {
        if self.service.is_away.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        let again = {
            let mut sent = self.service.sent.lock().unwrap();
            sent.push(token.expose().to_owned());
            sent.iter().filter(|sent| *sent == token.expose()).count() > 1
        };
        self.service.gate.acquire().await.unwrap().forget();
        if again {
            return Err(Error::new(Kind::InvalidGrant { credentials: false }));
        }
        self.service.issue(self.time.moment())
    }

    fn is_unused(&self, error: &Error) -> bool {
        error.kind() == Kind::Unavailable
    }

    async fn wait_after(&self, _: &Error) -> bool {
        self.has_password
    }

    fn time(&self) -> &Time {
        &self.time
    }
}

pub(super) const NAME: &str = "the account's record";

/// What becomes of a store call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Works,
    /// It fails, and nothing was done.
    Fails,
    /// It is carried out, and then fails.
    LosesAnswer,
    /// It is carried out, and never answers.
    NeverAnswers,
    /// It fails, and is carried out when the test says so.
    Late,
}

/// What a program has written, or tried to write: the record that it had seen, and the new one.
type Written = (Option<Version>, StoredToken);

/// A store that the programs share. The script decides about each call, by its name: `load`, `claim`, `save`, `lock`.
#[derive(Clone)]
struct Shared {
    kept: MemoryStore,
    script: Arc<dyn Fn(&'static str) -> Call + Send + Sync>,
    calls: Arc<Mutex<Vec<&'static str>>>,
    late: Arc<Mutex<Vec<Written>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    async fn call<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.calls.lock().unwrap().push(name);
        match (self.script)(name) {
            Call::Works => work.await,
            Call::Fails | Call::Late => Err("no disk".into()),
            Call::NeverAnswers => {
                drop(work.await);
                std::future::pending().await
            }
            Call::LosesAnswer => {
                drop(work.await);
                Err("no answer".into())
            }
        }
    }
}

impl TokenStore for Shared {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.call("load", TokenStore::load(&self.kept, name)).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        let is_claim = token.to_json().expose().contains("claimed_at");
        let call = if is_claim { "claim" } else { "save" };
        self.late.lock().unwrap().push((seen.cloned(), token.clone()));
        self.call(call, TokenStore::replace(&self.kept, name, seen, token)).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.call("remove", TokenStore::remove(&self.kept, name)).await
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        self.call("lock", TokenStore::lock(&self.kept, name, seen)).await
    }
}

struct World {
    service: Arc<Service>,
    store: MemoryStore,
    calls: Arc<Mutex<Vec<&'static str>>>,
    has_password: bool,
    /// What the programs have written, or tried to write.
    late: Arc<Mutex<Vec<Written>>>,
}

impl World {
    fn new() -> Self {
        Self {
            service: Service::new(),
            store: MemoryStore::new(),
            calls: Arc::default(),
            has_password: true,
            late: Arc::default(),
        }
    }

    /// Starts a program whose calls of the store all work.
    fn program(&self) -> Cache<Program> {
        self.program_with(|_| Call::Works)
    }

    fn program_with(&self, script: impl Fn(&'static str) -> Call + Send + Sync + 'static) -> Cache<Program> {
        let store = Shared {
            kept: self.store.clone(),
            script: Arc::new(script),
            calls: Arc::clone(&self.calls),
            late: Arc::clone(&self.late),
        };
        let time = Time::User(Arc::clone(&self.service.clock) as _);
        let source = program(&self.service, time.clone(), self.has_password);
        Cache::new(source, Some(ReportingStore::new(AnyStore::new(store), None)), time)
    }

    /// Starts a program that has loaded the first token, which another one obtained.
    async fn started_with(&self, script: impl Fn(&'static str) -> Call + Send + Sync + 'static) -> Cache<Program> {
        let program = self.program_with(script);
        if TokenStore::load(&self.store, NAME).await.unwrap().is_none() {
            assert_eq!(token(&self.program()).await, "t1");
        }
        assert_eq!(token(&program).await, "t1");
        program
    }

    fn advance(&self, duration: Duration) {
        self.service.clock.advance(duration);
    }

    async fn record(&self) -> Loaded {
        ReportingStore::new(AnyStore::new(self.store.clone()), None).load(NAME).await.unwrap().unwrap()
    }

    async fn stored_refresh_token(&self) -> Option<String> {
        let (token, _) = self.record().await.token.unwrap();
        token.renewal.map(|renewal| renewal.refresh_token.expose().to_owned())
    }
}

async fn token(program: &Cache<Program>) -> String {
    let token = program.get(&Account).await.unwrap().expose().to_owned();
    program.wait_idle().await;
    token
}

/// A script that lets the first `count` calls of this name end as it says.
fn first(name: &'static str, count: usize, end: Call) -> impl Fn(&'static str) -> Call + Send + Sync {
    let calls = AtomicUsize::new(0);
    move |call| if call == name && calls.fetch_add(1, Ordering::SeqCst) < count { end } else { Call::Works }
}
