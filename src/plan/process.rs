//! Who still runs: `/proc/PID/stat` (proc(5)), and who is ended before the file systems go.

/// Fields of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Of its parent.
    pub parent: i32,
    /// Device number of its controlling terminal, as stat(2) gives it; 0 for none.
    pub tty: u32,
    /// A thread of the kernel's.
    pub kernel: bool,
    /// It has ended; only its number is left.
    pub zombie: bool,
}

/// `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// The name in parentheses may hold anything, so what counts begins behind the last one.
pub fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').take(7).collect();
    let [state, parent, _group, _session, tty, _foreground, flags] = fields[..] else {
        return None;
    };
    Some(Stat {
        parent: parent.parse().ok()?,
        tty: tty.parse::<i32>().ok()?.cast_unsigned(),
        kernel: flags.parse::<u32>().ok()? & PF_KTHREAD != 0,
        zombie: state == "Z",
    })
}

/// A terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// `/dev/pts/N`.
    Pts(u32),
    /// Any other, by its device number, major and minor.
    Device(u32, u32),
}

/// From [`Stat::tty`]; none for none. The layout is that of `new_encode_dev()`
/// (`include/linux/kdev_t.h`).
pub fn terminal(tty: u32) -> Option<Terminal> {
    /// `include/uapi/linux/major.h`, UNIX98_PTY_SLAVE_MAJOR: all of them, since the minor
    /// has 20 bits.
    const PTS: u32 = 136;
    let (major, minor) = ((tty >> 8) & 0xfff, (tty & 0xff) | ((tty >> 12) & 0xf_ff00));
    match (tty, major) {
        (0, _) => None,
        (_, PTS) => Some(Terminal::Pts(minor)),
        _ => Some(Terminal::Device(major, minor)),
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// What /proc says of it.
    pub stat: Stat,
    /// Its name begins with `@`: it keeps a disk going and asks to be ended last
    /// (<https://systemd.io/ROOT_STORAGE_DAEMONS>).
    pub storage: bool,
}

/// Which are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// All but those that keep disks going.
    First,
    /// Those too.
    Last,
}

/// The numbers of those that are ended: all but PID 1, the kernel's, `ourselves` and our
/// children (those that hang were given up); and who waits for us goes on when the machine
/// does not end with us (`spare_callers`).
pub fn decide_victims(
    all: &[Process],
    ourselves: &[i32],
    spare_callers: bool,
    round: Round,
) -> Vec<i32> {
    let mut spared = ourselves.to_vec();
    spared.push(1);
    if spare_callers {
        let parent = |pid: i32| all.iter().find(|p| p.pid == pid).map(|p| p.stat.parent);
        let mut next = ourselves.first().and_then(|pid| parent(*pid));
        while let Some(pid) = next.filter(|pid| *pid > 1 && spared.len() < all.len() + 8) {
            spared.push(pid);
            next = parent(pid);
        }
    }
    all.iter()
        .filter(|p| !p.stat.kernel && !p.stat.zombie && !spared.contains(&p.pid))
        .filter(|p| Some(&p.stat.parent) != ourselves.first())
        .filter(|p| round == Round::Last || !p.storage)
        .map(|p| p.pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        let stat = Stat {
            parent,
            tty: 0,
            kernel: false,
            zombie: false,
        };
        Process {
            pid,
            stat,
            storage: false,
        }
    }

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        let text = "42 (a) Z (b) S 7 42 42 34816 42 4194560 1 2 3";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.tty), (7, 34816));
        assert!(!stat.kernel && !stat.zombie);
        assert!(
            parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0")
                .unwrap()
                .kernel
        );
        assert!(parse_stat("3 (x) Z 1 3 3 0 -1 4228100 0").unwrap().zombie);
        assert_eq!(parse_stat("42 (cut"), None);
        assert_eq!(parse_stat("42 (cut) S 1 2"), None);
    }

    #[test]
    fn a_terminal_is_found_by_its_number() {
        assert_eq!(terminal(0), None);
        assert_eq!(terminal(34816), Some(Terminal::Pts(0)));
        assert_eq!(terminal(0x10_8803), Some(Terminal::Pts(259)));
        assert_eq!(terminal(0x401), Some(Terminal::Device(4, 1)));
        assert_eq!(terminal(0x440), Some(Terminal::Device(4, 64)));
    }

    #[test]
    fn everybody_ends_but_init_the_kernel_and_ourselves() {
        let mut all: Vec<Process> = [
            (1, 0),
            (2, 0),
            (50, 1),
            (60, 50),
            (61, 60),
            (70, 1),
            (62, 61),
        ]
        .map(|(pid, parent)| process(pid, parent))
        .into();
        all[1].stat.kernel = true;
        all[5].storage = true;
        let us = [61, 60];
        assert_eq!(decide_victims(&all, &us, false, Round::First), [50]);
        assert_eq!(decide_victims(&all, &us, false, Round::Last), [50, 70]);
        // A script that goes on after us lives on.
        assert!(decide_victims(&all, &us, true, Round::First).is_empty());
    }
}
