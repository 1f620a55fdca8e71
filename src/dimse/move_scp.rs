//! C-MOVE as a provider (PS3.4 section C.4.2): objects go to a registered destination, each told truly.
//!
//! As many associations after each other as the destination's contexts need, and as many beside each other as it is
//! registered for. What carries the objects is in `carrier.rs`; here the asker is kept awake and heard meanwhile, so
//! that a C-CANCEL or an abort ends even a slow object, and what was not taken is told.

use crate::ahead::Shelf;
use crate::association::{Association, End};
use crate::carrier::{Carrier, Load, Rested};
use crate::command::Request;
use crate::meter;
use crate::negotiate::Context;
use crate::receiver::{Receiver, Stored};
use crate::retrieval::{ALIVE_EVERY, Fate, PENDING_EVERY, TICK, Tally};
use crate::scu::plan;
use crate::status::{self, Failure};
use model::chart::Way;
use model::{AeTitle, Destination};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

impl<R: Receiver> Association<'_, R> {
    /// Reads the identifier that follows a C-MOVE-RQ, sends what it names and answers.
    pub(crate) fn move_objects(&mut self, id: u8, context: &Context, request: &Request) -> Result<(), End> {
        let begun = Instant::now();
        let identifier = self.gather_identifier(id, request)?;
        let asked = identifier.and_then(|bytes| {
            let mut objects = self.objects(context, request, &bytes, "C-MOVE")?;
            let destination = self.destination(request)?;
            if destination.as_received {
                objects.iter_mut().for_each(Stored::as_received);
            }
            Ok((destination, objects))
        });
        let (destination, objects) = match asked {
            Ok(asked) => asked,
            Err(failure) => {
                self.log_refusal("C-MOVE", &failure);
                meter::retrieved("move", &failure.status.label(), begun.elapsed());
                return self.answer_failure(id, request, &failure);
            }
        };
        let mut carriers = Carrier::several(&destination, self, request, self.options);
        if let Some(rested) = self.rested.take() {
            rested.pass_on(&destination, &mut carriers);
        }
        let mut tally = Tally::new(id, request, context, objects.len());
        let to = destination.title.to_string();
        self.begin_record(&mut tally, (Way::Move, &to), &objects);
        for group in plan::groups(objects.iter().map(|object| (object.sop_class(), object.syntax())), plan::decoded) {
            carriers.iter_mut().for_each(|carrier| carrier.settle(&group.proposals));
            self.move_group(&group, &objects, &mut carriers, &mut tally)?;
            if tally.cancelled {
                break;
            }
        }
        self.rest(&destination, carriers, tally.cancelled);
        let status = self.finish(tally)?;
        meter::retrieved("move", &status.label(), begun.elapsed());
        tracing::info!(
            source = self.source.id,
            destination = %destination.title,
            objects = objects.len(),
            status = status.label(),
            "C-MOVE answered"
        );
        Ok(())
    }

    /// Leaves the associations of a C-MOVE open for a moment: one who asks series by series goes on with them. One who
    /// has objects sent to itself may wait for their end first, so there they end at once.
    fn rest(&mut self, destination: &Destination, mut carriers: Vec<Carrier>, cancelled: bool) {
        if cancelled {
            return;
        }
        if destination.title == self.calling || self.options.move_linger.is_zero() {
            return Carrier::release_all(&mut carriers);
        }
        self.rested = Rested::of(destination, carriers);
    }

    /// Ends what the last C-MOVE left open once the asker is silent for a moment.
    pub(crate) fn let_go_in_a_pause(&mut self) -> Result<(), End> {
        let Some(since) = self.rested.as_ref().map(Rested::since) else { return Ok(()) };
        let mut left = self.options.move_linger.saturating_sub(since.elapsed());
        while !left.is_zero() && !self.wire.source().is_draining() {
            let pause = left.min(TICK);
            if self.wire.has_read_ahead() || !self.wire.source().is_silent_for(pause).map_err(End::Lost)? {
                return Ok(());
            }
            left = left.saturating_sub(pause);
        }
        if let Some(rested) = self.rested.take() {
            rested.release();
        }
        Ok(())
    }

    /// The destination, if it is registered and for this source. Why it is not goes to our log only.
    fn destination(&self, request: &Request) -> Result<Destination, Failure> {
        let named = request.destination.as_deref().unwrap_or("");
        let title = AeTitle::parse(named);
        let found = title.ok().and_then(|title| self.receiver.destination(&self.source, &title));
        found.ok_or_else(|| Failure {
            detail: format!("no destination {named:?} for this source"),
            ..Failure::new(status::UNKNOWN_DESTINATION, "Move Destination is not registered for this AE")
        })
    }

    /// Has a group of objects carried and counts what becomes of each.
    fn move_group(
        &mut self,
        group: &plan::Group,
        objects: &[R::Stored],
        carriers: &mut [Carrier],
        tally: &mut Tally<'_>,
    ) -> Result<(), End> {
        let receiver = self.receiver.clone();
        let load = Load::new(Shelf::new(&receiver, objects, self.room), group, carriers.len());
        while !load.is_empty() && !tally.cancelled {
            let gave_up = |carriers: &[Carrier]| carriers.first().and_then(Carrier::given_up).map(str::to_owned);
            // Without the first, who judges the destination, the others would wait for ever.
            let begun = if gave_up(carriers).is_none() { self.carry(&load, objects, carriers, tally)? } else { 0 };
            let given_up = gave_up(carriers);
            let no_thread = || (begun == 0).then(|| "no thread could be started".to_owned());
            let Some(why) = given_up.or_else(no_thread) else { continue };
            while let Some(member) = load.take() {
                self.count(objects, member, Fate::Failed(why.clone()), tally);
            }
        }
        Ok(())
    }

    /// Lets everyone carry who has not given up, until they end; returns how many could begin.
    fn carry(
        &mut self,
        load: &Load<'_, R>,
        objects: &[R::Stored],
        carriers: &mut [Carrier],
        tally: &mut Tally<'_>,
    ) -> Result<usize, End> {
        std::thread::scope(|scope| {
            let (results, told) = mpsc::channel();
            let mut begun = 0;
            for carrier in carriers.iter_mut().filter(|carrier| carrier.given_up().is_none()) {
                let results = results.clone();
                let thread = std::thread::Builder::new().name("c-move".into());
                match thread.spawn_scoped(scope, move || carrier.carry(load, &results)) {
                    Ok(_) => begun += 1,
                    // Where there is no thread for one the others carry its share, and do not wait for it.
                    Err(_) => load.reach(),
                }
            }
            drop(results);
            let heard = self.hear(&told, load, objects, tally);
            if heard.is_err() {
                load.stop();
            }
            heard.map(|()| begun)
        })
    }

    /// Counts what the carriers tell until the last has ended, and looks after the asker meanwhile.
    fn hear(
        &mut self,
        told: &mpsc::Receiver<(usize, Fate)>,
        load: &Load<'_, R>,
        objects: &[R::Stored],
        tally: &mut Tally<'_>,
    ) -> Result<(), End> {
        loop {
            let every = match told.recv_timeout(TICK) {
                Ok((member, fate)) => {
                    self.count(objects, member, fate, tally);
                    PENDING_EVERY
                }
                Err(RecvTimeoutError::Timeout) => ALIVE_EVERY,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if !tally.cancelled {
                self.tell_every(tally, every)?;
            }
            if tally.cancelled {
                load.stop();
            }
        }
    }

    fn count(&self, objects: &[R::Stored], member: usize, fate: Fate, tally: &mut Tally<'_>) {
        if let Some(object) = objects.get(member) {
            if !matches!(fate, Fate::Failed(_)) {
                self.note_given(tally, object);
            }
            tally.count(object.sop_instance().as_str(), fate);
        }
    }
}
