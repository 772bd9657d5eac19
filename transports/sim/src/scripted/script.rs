//! What a deployment does after what.

/// Steps for a set; see the [module](super).
///
/// ```
/// let mut script = portolan_sim::scripted::Script::new("rs0", &["a"]);
/// script.after(&["a1 connect"]).accept("a1");
/// script.after(&["a1 hello"]).answer("a1");
/// script.after(&["a1 await", "a2 connect"]);
/// ```
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) set_name: String,
    pub(super) members: Vec<String>,
    pub(super) steps: Vec<Step>,
}

/// Once all of some acts have come, the deployment does something, in this order.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) after: Vec<String>,
    pub(super) then: Vec<Todo>,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It was elected in this term.
    Primary {
        /// The term.
        term: i64,
    },
    /// It follows, or waits for, a primary.
    Secondary {
        /// Whom it takes for the primary.
        primary: Option<String>,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Todo {
    Accept(String),
    Refuse(String),
    Answer(String),
    HangUp(String),
    Become(String, Role),
    Restart(String),
    Start(u32),
}

impl Script {
    /// A script without steps for a set of `members`, the first of them primary. A member's name
    /// has letters only: it is the host's, at port 27017.
    pub fn new(set_name: &str, members: &[&str]) -> Self {
        let members = members.iter().map(|&name| name.to_owned()).collect();
        Self { set_name: set_name.to_owned(), members, steps: Vec::new() }
    }

    /// The next step: what happens once all of `acts` have come.
    pub fn after(&mut self, acts: &[&str]) -> &mut Step {
        let after = acts.iter().map(|&act| act.to_owned()).collect();
        self.steps.push(Step { after, then: Vec::new() });
        self.steps.last_mut().expect("it was pushed")
    }
}

impl Step {
    /// The connection that is dialled opens.
    pub fn accept(&mut self, connection: &str) -> &mut Self {
        self.then(Todo::Accept(connection.to_owned()))
    }

    /// The connection that is dialled is refused.
    pub fn refuse(&mut self, connection: &str) -> &mut Self {
        self.then(Todo::Refuse(connection.to_owned()))
    }

    /// What was asked on the connection is answered. After a hello that may be held back (`await`)
    /// the stream goes on, and may be answered again.
    pub fn answer(&mut self, connection: &str) -> &mut Self {
        self.then(Todo::Answer(connection.to_owned()))
    }

    /// The member closes the connection.
    pub fn hang_up(&mut self, connection: &str) -> &mut Self {
        self.then(Todo::HangUp(connection.to_owned()))
    }

    /// The member becomes primary in `term`; its topology version counts it.
    pub fn elect(&mut self, member: &str, term: i64) -> &mut Self {
        self.then(Todo::Become(member.to_owned(), Role::Primary { term }))
    }

    /// The member is secondary and takes `primary` for the primary; its topology version counts it.
    pub fn follow(&mut self, member: &str, primary: Option<&str>) -> &mut Self {
        let primary = primary.map(str::to_owned);
        self.then(Todo::Become(member.to_owned(), Role::Secondary { primary }))
    }

    /// The member's process is a new one: its topology version begins anew.
    pub fn restart(&mut self, member: &str) -> &mut Self {
        self.then(Todo::Restart(member.to_owned()))
    }

    /// Operation `number` of the program around the client begins.
    pub fn start(&mut self, number: u32) -> &mut Self {
        self.then(Todo::Start(number))
    }

    fn then(&mut self, todo: Todo) -> &mut Self {
        self.then.push(todo);
        self
    }
}

/// The member that a connection belongs to.
pub(super) fn member_of(connection: &str) -> &str {
    connection.trim_end_matches(|c: char| c.is_ascii_digit())
}
