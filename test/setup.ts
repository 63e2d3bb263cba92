/** Property tests draw the same cases in every run; `FC_SEED=random` (or a number) draws others. */
import fc from "fast-check";

const wish = process.env.FC_SEED;
if (wish !== "random") fc.configureGlobal({ seed: wish === undefined ? 20_261_121 : Number(wish) });
