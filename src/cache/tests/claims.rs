//! Refresh tokens that work once, and the stores that several programs share: who may send one, and what a failure of the store costs.

mod lost_calls;

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
        let renewal =
            Renewal { refresh_token: RefreshToken::new(format!("r{number}")), expires_at: sent.now + 240 * HOUR };
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

/// A lock that cannot be had does not make two programs send the same refresh token.
#[tokio::test(start_paused = true)]
async fn without_a_lock_only_one_program_sends_the_refresh_token() {
    let world = World::new();
    let mut programs = Vec::new();
    for _ in 0..4 {
        programs.push(world.started_with(|call| if call == "lock" { Call::Fails } else { Call::Works }).await);
    }
    for turn in 1..20 {
        world.advance(57 * MINUTE);
        let mut tasks = JoinSet::new();
        for program in &programs {
            let program = program.clone();
            tasks.spawn(async move { token(&program).await });
        }
        let tokens: std::collections::HashSet<_> = tasks.join_all().await.into_iter().collect();
        world.service.assert_nothing_sent_twice();
        assert!(tokens.len() <= 4 && world.service.sent().len() <= turn, "{:?}", world.service.sent());
        // Whoever could not claim has used the password or adopted what it found; the next one who looks finds one token.
        for program in &programs {
            world.advance(Duration::ZERO);
            token(program).await;
        }
    }
}

/// The normal case: one exchange for each turn, and one token for all.
#[tokio::test(start_paused = true)]
async fn programs_with_a_lock_make_one_refresh_for_each_turn() {
    let world = World::new();
    let mut programs = Vec::new();
    for _ in 0..4 {
        programs.push(world.started_with(|_| Call::Works).await);
    }
    for turn in 1..=20 {
        world.advance(57 * MINUTE);
        let mut tasks = JoinSet::new();
        for program in &programs {
            let program = program.clone();
            tasks.spawn(async move { token(&program).await });
        }
        for token in tasks.join_all().await {
            assert_eq!(token, format!("t{}", turn + 1));
        }
        assert_eq!(world.service.sent().len(), turn);
    }
    world.service.assert_nothing_sent_twice();
    assert_eq!(world.service.passwords(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unused_refresh_token_is_given_back() {
    let world = World::new();
    let program = world.started_with(|_| Call::Works).await;
    world.service.is_away.store(true, Ordering::SeqCst);
    world.advance(2 * HOUR);
    assert!(program.get(&Account).await.is_err());
    program.wait_idle().await;
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r1"));
    // Another program can use it.
    world.service.is_away.store(false, Ordering::SeqCst);
    assert_eq!(token(&world.program()).await, "t2");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// It cannot be given back, but the program that claimed it still has it.
#[tokio::test(start_paused = true)]
async fn a_program_knows_its_own_claim_again() {
    for end in [Call::Fails, Call::LosesAnswer] {
        let world = World::new();
        let program = world.started_with(first("save", 1, end)).await;
        world.service.is_away.store(true, Ordering::SeqCst);
        world.advance(2 * HOUR);
        assert!(program.get(&Account).await.is_err());
        program.wait_idle().await;
        assert_eq!(world.stored_refresh_token().await.is_some(), end == Call::LosesAnswer);
        world.service.is_away.store(false, Ordering::SeqCst);
        world.advance(HOUR);
        assert_eq!(token(&program).await, "t2");
        assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1), "{end:?}");
    }
}

/// A program is killed between its claim and its save: the refresh token in its memory is lost.
async fn die_with_a_claim(world: &World) {
    let claim = world.record().await;
    let (first, _) = claim.token.unwrap();
    let marks =
        Marks { id: Some("dead".into()), claimed_at: Some(world.service.clock.now()), name: None, keep_until: None };
    let claimed = ReportingStore::new(AnyStore::new(world.store.clone()), None);
    assert!(matches!(claimed.replace(NAME, Some(&claim.version), &first, &marks).await, Ok(Replaced::Done(_))));
}

#[tokio::test(start_paused = true)]
async fn after_a_program_died_with_its_claim_one_other_uses_the_password() {
    let world = World::new();
    let programs = [world.started_with(|_| Call::Works).await, world.started_with(|_| Call::Works).await];
    world.advance(57 * MINUTE);
    die_with_a_claim(&world).await;
    for program in &programs {
        program.get(&Account).await.unwrap();
        assert_eq!(token(program).await, "t2");
    }
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2));
}

/// They know nothing of the record when they want the lock, which the store then does not give them.
#[tokio::test(start_paused = true)]
async fn programs_whose_first_look_fails_wait_for_the_lock_all_the_same() {
    let world = World::new();
    let mut programs = Vec::new();
    for _ in 0..4 {
        let looks = Arc::new(AtomicUsize::new(usize::MAX));
        let counted = Arc::clone(&looks);
        let fails = move || counted.fetch_sub(1, Ordering::SeqCst) == 1;
        let script = move |call| if call == "load" && fails() { Call::Fails } else { Call::Works };
        programs.push((world.started_with(script).await, looks));
    }
    world.advance(61 * MINUTE);
    die_with_a_claim(&world).await;
    world.service.password_gate.forget_permits(usize::MAX);
    let mut tasks = JoinSet::new();
    for (program, looks) in programs {
        looks.store(1, Ordering::SeqCst);
        tasks.spawn(async move { token(&program).await });
    }
    until(|| world.service.passwords() > 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.service.password_gate.add_permits(1_000);
    assert_eq!(tasks.join_all().await, ["t2"; 4]);
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2));
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_claim_is_not_returned() {
    let world = World::new();
    let program = world.started_with(|_| Call::Works).await;
    world.advance(57 * MINUTE);
    world.service.hold();
    let refreshing = {
        let program = program.clone();
        tokio::spawn(async move { token(&program).await })
    };
    until(|| world.service.sent().len() == 1).await;
    let new = world.program();
    let waiting = tokio::spawn(async move { token(&new).await });
    until(|| world.calls.lock().unwrap().iter().filter(|call| **call == "lock").count() == 3).await;
    world.service.gate.add_permits(1_000);
    assert_eq!(refreshing.await.unwrap(), "t2");
    assert_eq!((waiting.await.unwrap().as_str(), world.service.passwords()), ("t2", 1));
}

/// The record is evicted. Somebody may have used its refresh token meanwhile.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_whose_record_is_gone_is_not_sent() {
    let world = World::new();
    let program = world.started_with(|_| Call::Works).await;
    TokenStore::remove(&world.store, NAME).await.unwrap();
    world.advance(57 * MINUTE);
    assert_eq!(token(&program).await, "t2");
    assert_eq!((world.service.sent(), world.service.passwords()), (vec![], 2));
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
}

/// Without a password there is no other way, and one program wins.
#[tokio::test(start_paused = true)]
async fn without_a_password_a_refresh_token_whose_record_is_gone_is_claimed_and_sent() {
    let mut world = World::new();
    let programs = [world.started_with(|_| Call::Works).await];
    world.has_password = false;
    let programs =
        [world.started_with(|_| Call::Works).await, world.started_with(|_| Call::Works).await, programs[0].clone()];
    TokenStore::remove(&world.store, NAME).await.unwrap();
    world.advance(57 * MINUTE);
    for program in &programs[..2] {
        program.get(&Account).await.unwrap();
        assert_eq!(token(program).await, "t2");
    }
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// Without a password, a store that fails costs an error and not the pair.
#[tokio::test(start_paused = true)]
async fn without_a_password_nothing_is_sent_while_the_claim_is_unknown() {
    for claim in [Call::Fails, Call::LosesAnswer] {
        let mut world = World::new();
        drop(world.started_with(|_| Call::Works).await);
        world.has_password = false;
        let state = Arc::new(AtomicUsize::new(0));
        let program = world
            .started_with({
                let state = Arc::clone(&state);
                move |call| match (call, state.load(Ordering::SeqCst)) {
                    ("claim", 0) => {
                        state.store(1, Ordering::SeqCst);
                        claim
                    }
                    (_, 1) => Call::Fails,
                    _ => Call::Works,
                }
            })
            .await;
        world.advance(2 * HOUR);
        let error = program.get(&Account).await.unwrap_err();
        assert!(error.is_store(), "{error}");
        program.wait_idle().await;
        assert_eq!(world.service.sent(), Vec::<String>::new());
        // The store is back, with or without the claim.
        state.store(2, Ordering::SeqCst);
        world.advance(HOUR);
        assert_eq!(token(&program).await, "t2");
        assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1), "{claim:?}");
        assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_replaced() {
    #[derive(Debug, Clone)]
    struct Unreadable(MemoryStore);

    impl TokenStore for Unreadable {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            let record = TokenStore::load(&self.0, name).await?;
            Ok(record.map(|record| match record.token() {
                Ok(token) if token.to_json().expose().contains("damaged") => {
                    Record::unreadable(record.version().clone(), "it is damaged")
                }
                _ => record,
            }))
        }

        async fn replace(
            &self,
            name: &str,
            seen: Option<&Version>,
            token: &StoredToken,
        ) -> Result<Replaced, StoreError> {
            TokenStore::replace(&self.0, name, seen, token).await
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            TokenStore::remove(&self.0, name).await
        }
    }

    let store = MemoryStore::new();
    keep(&store, "name of a", &stored("damaged", SystemTime::UNIX_EPOCH + 1_000_000 * HOUR, HOUR)).await;
    let fixture = Fixture::with_store(Some(AnyStore::new(Unreadable(store.clone()))));
    assert_eq!(fixture.get("a").await, "a#1");
    fixture.wait_idle("a").await;
    assert_eq!(kept(&store, "name of a").await.unwrap().access_token.expose(), "a#1");
}

/// The client waits until the lock has been released, so that a program may end then.
#[tokio::test(start_paused = true)]
async fn the_release_of_a_lock_is_awaited() {
    #[derive(Debug, Clone, Default)]
    struct Releasing(MemoryStore, Arc<AtomicUsize>);

    impl TokenStore for Releasing {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            TokenStore::load(&self.0, name).await
        }

        async fn replace(
            &self,
            name: &str,
            seen: Option<&Version>,
            token: &StoredToken,
        ) -> Result<Replaced, StoreError> {
            TokenStore::replace(&self.0, name, seen, token).await
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            TokenStore::remove(&self.0, name).await
        }

        async fn lock(&self, _: &str, _: Option<&Version>) -> Result<Locked, StoreError> {
            let released = Arc::clone(&self.1);
            Ok(Locked::Held(StoreLock::with_release((), async move {
                tokio::task::yield_now().await;
                released.fetch_add(1, Ordering::SeqCst);
            })))
        }
    }

    let store = Releasing::default();
    let fixture = Fixture::with_store(Some(AnyStore::new(store.clone())));
    fixture.get("a").await;
    fixture.cache.wait_idle().await;
    assert_eq!(store.1.load(Ordering::SeqCst), 1);
    fixture.cache.clear(Which::All).await.unwrap();
    assert_eq!(store.1.load(Ordering::SeqCst), 2);
}

/// The runtime of a program ends while the store saves a token: another program may find that token there.
#[test]
fn a_token_whose_save_was_cut_off_is_claimed_before_it_is_sent() {
    let world = World::new();
    let new_runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let no_lock = |call| if call == "lock" { Call::Fails } else { Call::Works };
    let program = world.program_with(move |call| if call == "save" { Call::NeverAnswers } else { no_lock(call) });
    let runtime = new_runtime();
    runtime.block_on(async { program.get(&Account).await.unwrap() });
    drop(runtime);
    let runtime = new_runtime();
    runtime.block_on(async {
        assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r1"));
        let other = world.program_with(no_lock);
        assert_eq!(token(&other).await, "t1");
        world.advance(57 * MINUTE);
        world.service.hold();
        let refreshing = tokio::spawn({
            let other = other.clone();
            async move { token(&other).await }
        });
        until(|| world.service.sent().len() == 1).await;
        // The other one has claimed and sent it.
        program.get(&Account).await.unwrap();
        until(|| world.service.passwords() == 2).await;
        world.service.gate.add_permits(1_000);
        refreshing.await.unwrap();
    });
    world.service.assert_nothing_sent_twice();
}

/// The store carries out a give-back when its program has claimed the refresh token again, and sends it.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_given_back_late_is_not_given_back() {
    let world = World::new();
    let program = world.started_with(first("save", 1, Call::Late)).await;
    world.service.is_away.store(true, Ordering::SeqCst);
    world.advance(2 * HOUR);
    assert!(program.get(&Account).await.is_err());
    program.wait_idle().await;
    let (seen, given_back) = world.late.lock().unwrap().last().unwrap().clone();
    world.service.is_away.store(false, Ordering::SeqCst);
    world.service.hold();
    world.advance(MINUTE);
    let refreshing = tokio::spawn(async move { token(&program).await });
    until(|| world.service.sent().len() == 1).await;
    let late = TokenStore::replace(&world.store, NAME, seen.as_ref(), &given_back).await.unwrap();
    assert_eq!(late, Replaced::Conflict);
    world.service.gate.add_permits(1_000);
    assert_eq!(refreshing.await.unwrap(), "t2");
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
    assert_eq!((world.service.sent(), world.service.passwords()), (vec!["r1".to_owned()], 1));
}

/// The store has lost the claim, and has the refresh token that was sent. The client knows better.
#[tokio::test(start_paused = true)]
async fn a_record_from_before_a_failover_is_replaced_by_the_new_token() {
    let world = World::new();
    let store = world.store.clone();
    let before = world.program();
    assert_eq!(token(&before).await, "t1");
    let old = TokenStore::load(&store, NAME).await.unwrap().unwrap().token().unwrap().clone();
    let failover = Arc::new(AtomicUsize::new(0));
    let program = world
        .started_with({
            let failover = Arc::clone(&failover);
            move |call| {
                if call == "save" && failover.fetch_add(1, Ordering::SeqCst) == 0 { Call::Fails } else { Call::Works }
            }
        })
        .await;
    world.advance(57 * MINUTE);
    world.service.hold();
    let refreshing = tokio::spawn(async move { token(&program).await });
    until(|| world.service.sent().len() == 1).await;
    TokenStore::remove(&store, NAME).await.unwrap();
    let restored = TokenStore::replace(&store, NAME, None, &old).await.unwrap();
    assert!(matches!(restored, Replaced::Done(_)));
    world.service.gate.add_permits(1_000);
    assert_eq!(refreshing.await.unwrap(), "t2");
    assert_eq!(world.stored_refresh_token().await.as_deref(), Some("r2"));
}

/// Without a password, a record that cannot be read may have the pair: nothing is sent, and nothing replaced.
#[tokio::test(start_paused = true)]
async fn without_a_password_a_record_that_cannot_be_read_stays() {
    #[derive(Debug)]
    struct Sealed(Arc<AtomicBool>, MemoryStore);

    impl TokenStore for Sealed {
        async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
            let record = TokenStore::load(&self.1, name).await?;
            Ok(record.map(|record| match self.0.load(Ordering::SeqCst) {
                true => Record::unreadable(record.version().clone(), "sealed with another key"),
                false => record,
            }))
        }

        async fn replace(
            &self,
            name: &str,
            seen: Option<&Version>,
            token: &StoredToken,
        ) -> Result<Replaced, StoreError> {
            assert!(!self.0.load(Ordering::SeqCst), "the pair in it would be lost");
            TokenStore::replace(&self.1, name, seen, token).await
        }

        async fn remove(&self, name: &str) -> Result<(), StoreError> {
            TokenStore::remove(&self.1, name).await
        }
    }

    let world = World::new();
    assert_eq!(token(&world.program()).await, "t1");
    let (is_sealed, time) = (Arc::new(AtomicBool::new(false)), Time::User(Arc::clone(&world.service.clock) as _));
    let store = AnyStore::new(Sealed(Arc::clone(&is_sealed), world.store.clone()));
    let source = program(&world.service, time.clone(), false);
    let program = Cache::new(source, Some(ReportingStore::new(store, None)), time);
    assert_eq!(token(&program).await, "t1");
    is_sealed.store(true, Ordering::SeqCst);
    world.advance(2 * HOUR);
    let error = program.get(&Account).await.unwrap_err();
    assert!(error.is_store() && world.service.sent().is_empty(), "{error}");
    is_sealed.store(false, Ordering::SeqCst);
    world.advance(HOUR);
    assert_eq!(token(&program).await, "t2");
}
