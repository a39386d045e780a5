-- Instants are milliseconds since 1970, UTC; 0 is "not yet". JSON is TEXT that
-- Go decodes. CHECKs guard values and never list kinds.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE leases (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    until   BIGINT NOT NULL
);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (lower(name));

CREATE TABLE sessions (
    secret_hash  TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    address      TEXT NOT NULL,
    browser      TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    secret_hash  TEXT NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_tokens_name ON api_tokens (lower(name));

-- One row per account, per peer address and per pair of both that failed lately;
-- the subject is a hash. What follows from the counts is auth's to say.
CREATE TABLE throttles (
    subject  TEXT PRIMARY KEY,
    failures BIGINT NOT NULL CHECK (failures >= 0),
    last_at  BIGINT NOT NULL
);

CREATE TABLE hosts (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL,
    tags              TEXT NOT NULL,
    restic_host       TEXT NOT NULL,
    public_key        TEXT NOT NULL UNIQUE,
    hostname          TEXT NOT NULL,
    os                TEXT NOT NULL,
    arch              TEXT NOT NULL,
    agent_version     TEXT NOT NULL,
    restic_version    TEXT NOT NULL,
    allowed           TEXT NOT NULL,
    hooks             TEXT NOT NULL,
    presence          TEXT NOT NULL,
    address           TEXT NOT NULL,
    storage_url       TEXT NOT NULL,
    storage_free      BIGINT NOT NULL,
    storage_total     BIGINT NOT NULL,
    slots             BIGINT NOT NULL CHECK (slots >= 0),
    enrolled_at       BIGINT NOT NULL,
    last_seen_at      BIGINT NOT NULL,
    session_node      TEXT NOT NULL,
    clock_offset      BIGINT NOT NULL,
    plan_digest       TEXT NOT NULL,
    plan_at           BIGINT NOT NULL,
    journal_id        TEXT NOT NULL,
    cursor            BIGINT NOT NULL CHECK (cursor >= 0),
    connect_counter   BIGINT NOT NULL,
    counter_floor     BIGINT NOT NULL,
    quarantined_at    BIGINT NOT NULL,
    removed_at        BIGINT NOT NULL,
    last_backup_at    BIGINT NOT NULL,
    last_backup_state TEXT NOT NULL,
    last_ended_at     BIGINT NOT NULL,
    last_job_id       TEXT NOT NULL,
    last_error        TEXT NOT NULL
);
CREATE UNIQUE INDEX hosts_name ON hosts (lower(name)) WHERE removed_at = 0;
CREATE INDEX hosts_session ON hosts (session_node);
-- Every page counts the hosts; this holds all that the counting reads.
CREATE INDEX hosts_sums ON hosts (storage_url, last_backup_state, session_node, quarantined_at) WHERE removed_at = 0;

CREATE TABLE repositories (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    url            TEXT NOT NULL,
    host_id        TEXT NOT NULL REFERENCES hosts (id),
    storage_id     TEXT NOT NULL,
    username       TEXT NOT NULL,
    sealed         TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    provisioned_at BIGINT NOT NULL,
    ready_at       BIGINT NOT NULL,
    append_only    BOOLEAN NOT NULL,
    append_only_at BIGINT NOT NULL,
    listed_at      BIGINT NOT NULL,
    checked_at     BIGINT NOT NULL, -- the last check that came to a result
    check_job      TEXT NOT NULL,
    check_result   TEXT NOT NULL,   -- JSON
    check_mib      BIGINT NOT NULL, -- how much the next one reads; 0 is not known
    counted_at     BIGINT NOT NULL,
    stats          TEXT NOT NULL    -- JSON
);
CREATE INDEX repositories_host ON repositories (host_id);
CREATE INDEX repositories_storage ON repositories (storage_id);

CREATE TABLE source_groups (
    id             TEXT PRIMARY KEY,
    host_id        TEXT NOT NULL REFERENCES hosts (id),
    repository_id  TEXT NOT NULL REFERENCES repositories (id),
    name           TEXT NOT NULL,
    includes       TEXT NOT NULL,
    excludes       TEXT NOT NULL,
    options        TEXT NOT NULL,
    retention      TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    last_job_id    TEXT NOT NULL,
    last_state     TEXT NOT NULL,
    last_ended_at  BIGINT NOT NULL,
    last_backup_at BIGINT NOT NULL,
    last_error     TEXT NOT NULL
);
CREATE UNIQUE INDEX source_groups_name ON source_groups (host_id, lower(name));

CREATE TABLE schedules (
    id             TEXT PRIMARY KEY,
    host_id        TEXT NOT NULL REFERENCES hosts (id),
    name           TEXT NOT NULL,
    cron           TEXT NOT NULL,
    time_zone      TEXT NOT NULL,
    jitter_seconds BIGINT NOT NULL,
    missed_policy  TEXT NOT NULL,
    enabled        BOOLEAN NOT NULL,
    effective_from BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX schedules_host ON schedules (host_id);

CREATE TABLE schedule_groups (
    schedule_id TEXT NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL REFERENCES source_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (schedule_id, group_id)
);
CREATE INDEX schedule_groups_group ON schedule_groups (group_id);

-- A pause that has ended stays until it is tidied away.
CREATE TABLE pauses (
    id         TEXT PRIMARY KEY,
    scope      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    until      BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

CREATE TABLE jobs (
    id                  TEXT PRIMARY KEY,
    host_id             TEXT NOT NULL REFERENCES hosts (id),
    kind                TEXT NOT NULL,
    state               TEXT NOT NULL,
    origin              TEXT NOT NULL,
    cause               TEXT NOT NULL,
    asked_by            TEXT NOT NULL,
    group_id            TEXT NOT NULL,
    repository_id       TEXT NOT NULL,
    schedule_id         TEXT NOT NULL,
    scheduled_at        BIGINT NOT NULL,
    scheduled_to        BIGINT NOT NULL,
    moments             BIGINT NOT NULL,
    root_id             TEXT NOT NULL,
    retry               BIGINT NOT NULL,
    attempt             BIGINT NOT NULL,
    next_attempt_at     BIGINT NOT NULL,
    hurried_at          BIGINT NOT NULL,
    by_job              TEXT NOT NULL,
    phase               TEXT NOT NULL,
    trouble             TEXT NOT NULL,
    spec                TEXT NOT NULL,
    created_at          BIGINT NOT NULL,
    sent_at             BIGINT NOT NULL,
    accepted_at         BIGINT NOT NULL,
    started_at          BIGINT NOT NULL,
    finished_at         BIGINT NOT NULL,
    cancel_requested_at BIGINT NOT NULL,
    exit_code           BIGINT,
    error               TEXT NOT NULL,
    summary             TEXT NOT NULL,
    command             TEXT NOT NULL,
    log_lines           BIGINT NOT NULL,
    log_bytes           BIGINT NOT NULL,
    log_omitted         BIGINT NOT NULL
);
-- SQLite keeps no statistics here and takes the index whose columns the query
-- names most of. So those over the few jobs that have not ended begin with what
-- makes them few, and none begins with what nearly all jobs have in common.
CREATE INDEX jobs_active ON jobs (host_id, state, id) WHERE state IN ('queued', 'sent', 'running');
CREATE INDEX jobs_out ON jobs (state, repository_id) WHERE state IN ('sent', 'running');
-- The order in which what waits is let go: what a person asked for now, then by time.
CREATE INDEX jobs_line ON jobs (state, (CASE WHEN hurried_at > 0 THEN 0 ELSE 1 END), next_attempt_at, id) WHERE state = 'queued';
CREATE INDEX jobs_host ON jobs (host_id, id);
CREATE INDEX jobs_group ON jobs (group_id, id);
CREATE INDEX jobs_accepted ON jobs (group_id, accepted_at) WHERE kind = 'backup' AND accepted_at > 0;
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_kind ON jobs (kind, id) WHERE kind <> 'backup';
CREATE INDEX jobs_repository ON jobs (repository_id, id);
-- A run that waits is there once, however often it is asked for.
CREATE UNIQUE INDEX jobs_pending ON jobs (schedule_id, group_id)
    WHERE kind = 'backup' AND state IN ('queued', 'sent');
CREATE INDEX jobs_waiting ON jobs (kind, id) WHERE kind = 'backup' AND state IN ('queued', 'sent');
CREATE INDEX jobs_root ON jobs (root_id) WHERE root_id <> '';
-- The ids of occurrences begin with their moment, so this is the order of time.
CREATE INDEX jobs_occurrence ON jobs (id) WHERE scheduled_at > 0;
CREATE INDEX jobs_schedule ON jobs (schedule_id, id) WHERE scheduled_at > 0;
CREATE INDEX jobs_cause ON jobs (cause, id) WHERE cause <> '';

CREATE VIEW pending_runs AS
    SELECT * FROM jobs WHERE kind = 'backup' AND state IN ('queued', 'sent');

CREATE TABLE job_logs (
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    first_line BIGINT NOT NULL,
    lines      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (job_id, first_line)
);

CREATE TABLE snapshots (
    repository_id TEXT NOT NULL REFERENCES repositories (id),
    id            TEXT NOT NULL,
    host_id       TEXT NOT NULL,
    group_id      TEXT NOT NULL,
    job_id        TEXT NOT NULL,
    taken_at      BIGINT NOT NULL,
    body          TEXT NOT NULL,
    seen_at       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, id)
);
CREATE INDEX snapshots_host ON snapshots (host_id, taken_at);
CREATE INDEX snapshots_repository ON snapshots (repository_id, taken_at);

CREATE TABLE enrollment_tokens (
    id              TEXT PRIMARY KEY,
    secret_hash     TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    tags            TEXT NOT NULL,
    for_storage     BOOLEAN NOT NULL,
    storage_id      TEXT NOT NULL,
    repository_url  TEXT NOT NULL,
    repository_user TEXT NOT NULL,
    sealed          TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    created_by      TEXT NOT NULL,
    expires_at      BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    seen_address    TEXT NOT NULL,
    used_at         BIGINT NOT NULL,
    used_by         TEXT NOT NULL,
    used_key        TEXT NOT NULL
);

CREATE TABLE alerts (
    id        TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    host_id   TEXT NOT NULL,
    subject   TEXT NOT NULL,
    sentence  TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    times     BIGINT NOT NULL,
    closed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, host_id, subject) WHERE closed_at = 0;

CREATE TABLE rejected_records (
    host_id    TEXT NOT NULL,
    journal_id TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL,
    reason     TEXT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (host_id, journal_id, seq)
);

CREATE TABLE audit (
    id      TEXT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    noun    TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,
    address TEXT NOT NULL,
    seal    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX audit_subject ON audit (noun, subject, id);
CREATE INDEX audit_seal ON audit (seal, id);

CREATE TABLE audit_seals (
    number    BIGINT PRIMARY KEY,
    entries   BIGINT NOT NULL,
    first_id  TEXT NOT NULL,
    last_id   TEXT NOT NULL,
    digest    TEXT NOT NULL,
    previous  TEXT NOT NULL,
    hash      TEXT NOT NULL,
    sealed_at BIGINT NOT NULL,
    signature TEXT NOT NULL
);
