//! One request from its beginning to its end: which faults strike it, what is done of it, and what is noted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{task::JoinSet, time::sleep};

use super::{
    faults::Plan,
    ledger::{Answer, Operation},
    relay::{self, Consultada, Core},
    request::{Asked, Said},
};
use crate::{contract, contract::cuo, domain::Ruc};

impl Core {
    /// Does what is asked as the faults of the moment have it. The plan still has to be applied to the answer's bytes.
    pub async fn attend(self: &Arc<Self>, asked: Asked) -> (Said, Plan) {
        let (began, about) = (Instant::now(), asked.about());
        let plan = self.faults.plan(&about);
        self.wait(plan.delay_before()).await;
        let delivered = if plan.delivers() { self.deliver_as(&asked, &plan).await } else { Vec::new() };
        if let Some(longest) = plan.waits_for_cargo()
            && plan.delivers()
        {
            self.wait_for_cargo(&about.cuo, longest).await;
        }
        let mut said = delivered.first().cloned().unwrap_or_else(|| plan.undelivered(&asked));
        plan.alter(&mut said);
        let answers = plan.answers().then(|| Answer::of(&said));
        self.ledger.add(Operation {
            n: 0,
            fecha: self.clock.now(),
            sha256: asked.documento().map(|d| d.sha256.to_string()),
            bytes: asked.documento().map(|d| d.bytes),
            fallas: plan.names(),
            entregas: delivered.iter().map(Answer::of).collect(),
            respuesta: answers,
            milisegundos: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            about,
        });
        self.wait(plan.delay_after()).await;
        (said, plan)
    }

    /// Delivers as often as the plan says; what each delivery was answered.
    async fn deliver_as(self: &Arc<Self>, asked: &Asked, plan: &Plan) -> Vec<Said> {
        let asked = plan.dated(asked);
        let (now, copies) = (plan.clock(self.clock.now()), plan.copies());
        let mut answers = Vec::new();
        if copies.a_la_vez {
            let mut at_once = JoinSet::new();
            for _ in 0..copies.copias {
                let (core, asked) = (Arc::clone(self), asked.clone());
                at_once.spawn(async move { core.work(&asked, now).await });
            }
            while let Some(answer) = at_once.join_next().await {
                answers.extend(answer);
            }
        } else {
            for _ in 0..copies.copias {
                answers.push(self.work(&asked, now).await);
            }
        }
        if let Some(other) = plan.another_cargo(&asked) {
            answers.push(self.work(&other, now).await);
        }
        answers
    }

    /// What was asked, done once, by a platform whose clock says `now`.
    async fn work(self: &Arc<Self>, asked: &Asked, now: Timestamp) -> Said {
        use contract::Operation as O;
        match asked {
            Asked::Cuo { flavour, ruc, servicio } => {
                let sound = ruc.as_deref().is_some_and(|ruc| Ruc::de_contraparte(ruc).is_ok());
                let served = servicio.as_deref() == Some(cuo::SERVICIO);
                // As a number no CUO can be: whoever asks wrongly must notice.
                let given = if sound && served { self.registry.cuo(self.clock.now()) } else { "-1".into() };
                Said::Cuo { flavour: *flavour, cuo: given }
            }
            Asked::Recepcionar(t, documento) => {
                Said::Respuesta(O::Recepcionar, self.recepcionar(t, documento.as_ref(), now).await)
            }
            Asked::Cargo(c, documento) => Said::Respuesta(O::Cargo, self.cargo(c, documento.as_ref()).await),
            Asked::Consultar(consulta) => {
                let Consultada { respuesta, documento } = self.consultar(consulta).await;
                Said::Consultar { respuesta: Box::new(respuesta), documento }
            }
            Asked::Lista(categoria) => Said::Lista(categoria.map(|c| self.registry.category(c)).unwrap_or_default()),
            Asked::Validar(ruc) => {
                Said::Validar { registrada: self.registry.find(ruc.as_deref()).is_some(), codigo: None }
            }
            Asked::Tipos => Said::Tipos(relay::tipos_documento()),
        }
    }

    /// Returns once a cargo under this CUO has passed, or after `longest`.
    async fn wait_for_cargo(&self, cuo: &str, longest: Duration) {
        let mut news = self.log.watch();
        let passed = async {
            while !self.log.cargo_passed(cuo) {
                if news.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = passed => {}
            () = self.wait(longest) => {}
        }
    }

    /// Waits, but not for a simulator that is being stopped.
    async fn wait(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(time) => {}
        }
    }
}
