-- A store of version 1, as the tool of that time wrote it to SQLite: its schema and some rows. Never changed.

CREATE TABLE "group_sync_migrations" ("version" integer primary key, "name" text not null, "applied_at" text not null);
CREATE TABLE "group_sync_installation" ("the_only" integer primary key check (the_only = 1), "id" text not null);
CREATE TABLE "group_sync_identities" ("provider" text not null primary key, "identity" text not null);
CREATE TABLE "group_sync_groups" ("provider" text not null, "identity" text not null, "group_id" text not null, "group_key" text not null, "origin" text not null, constraint "group_sync_groups_key" primary key ("provider", "identity", "group_id"));
CREATE TABLE "group_sync_memberships" ("provider" text not null, "identity" text not null, "group_id" text not null, "account" text not null, "run_id" text not null, constraint "group_sync_memberships_key" primary key ("provider", "identity", "group_id", "account"));
CREATE TABLE "group_sync_invitations" ("provider" text not null, "identity" text not null, "group_id" text not null, "account" text not null, "state" text not null, "sent_at" text not null, constraint "group_sync_invitations_key" primary key ("provider", "identity", "group_id", "account"));
CREATE TABLE "group_sync_runs" ("run_id" text not null primary key, "plan_id" text not null, "started_at" text not null, "finished_at" text, "status" text, "summary" text, "plan" text not null, "report" text);
CREATE INDEX "group_sync_runs_newest" on "group_sync_runs" ("started_at", "run_id");
CREATE TABLE "group_sync_journal" ("run_id" text not null references "group_sync_runs" ("run_id") on delete cascade, "provider" text not null, "sequence" integer not null, "kind" text not null, "changes" text not null, "outcome" text, constraint "group_sync_journal_key" primary key ("run_id", "provider", "sequence"));
CREATE TABLE "group_sync_approvals" ("plan_id" text not null, "checksum" text not null, "group_key" text not null, "approved_at" text not null, "expires_at" text not null, "approved_by" text not null, constraint "group_sync_approvals_key" primary key ("plan_id", "checksum", "group_key"));
insert into "group_sync_migrations" values (1, 'runs, journal, groups, memberships, invitations, approvals', '2026-11-21T15:02:14.818Z');
insert into "group_sync_installation" values (1, '11111111-2222-4333-8444-555555555555');
insert into "group_sync_identities" values ('faces', 'space 1 as ada@example.org');
insert into "group_sync_groups" values ('faces', 'space 1 as ada@example.org', 'g1', 'night-shift', 'adopted');
insert into "group_sync_memberships" values ('faces', 'space 1 as ada@example.org', 'g1', 'a1', 'r1');
insert into "group_sync_memberships" values ('faces', 'space 1 as ada@example.org', 'g1', 'ä2', 'r1');
insert into "group_sync_invitations" values ('faces', 'space 1 as ada@example.org', 'g1', 'x@example.org', 'pending', '2026-11-21T10:00:00.000Z');
insert into "group_sync_runs" values ('r1', 'p1', '2026-11-21T10:00:00.000Z', '2026-11-21T10:00:09.000Z', 'converged', '{"applied":1,"already":0,"pending":0,"held":0,"skipped":0,"failed":0,"unknown":0}', '{"kind":"plan","planId":"p1"}', '{"kind":"report","runId":"r1","planId":"p1","finishedAt":"2026-11-21T10:00:09.000Z","status":"converged","summary":{"applied":1,"already":0,"pending":0,"held":0,"skipped":0,"failed":0,"unknown":0}}');
insert into "group_sync_runs" values ('r2', 'p2', '2026-11-21T11:00:00.000Z', null, null, null, '{"kind":"plan","planId":"p2"}', null);
insert into "group_sync_journal" values ('r1', 'faces', 1, 'members', '[{"type":"member.add","group":"night-shift","groupId":"g1","account":"a1","role":"member","reason":"listed in the spec"}]', 'answered');
insert into "group_sync_journal" values ('r2', 'faces', 1, 'members', '[]', null);
insert into "group_sync_approvals" values ('p1', 'c1', 'night-shift', '2026-11-21T10:00:00.000Z', '2026-11-22T10:00:00.000Z', 'ada');
