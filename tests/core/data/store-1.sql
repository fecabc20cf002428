BEGIN TRANSACTION;
CREATE TABLE deliveries (
    account TEXT NOT NULL,
    nonce TEXT NOT NULL,
    job_id TEXT NOT NULL,
    expected INTEGER NOT NULL,
    count INTEGER NOT NULL,
    touched_at REAL NOT NULL,
    PRIMARY KEY (account, nonce, job_id)
);
INSERT INTO "deliveries" VALUES('studio','nonce-1','job-1',1,0,1.79542803516804122922e+09);
CREATE TABLE records (
    account TEXT NOT NULL,
    intent TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    fields TEXT NOT NULL,
    phase TEXT NOT NULL,
    holder TEXT NOT NULL,
    mark TEXT,
    nonce TEXT NOT NULL UNIQUE,
    job_id TEXT,
    path TEXT,
    version INTEGER NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (account, intent)
);
INSERT INTO "records" VALUES('studio','shot-1','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','{"prompt": "d"}','accepted','',NULL,'nonce-1','job-1','/films/restyled/one.mp4',1,1.79542803516507482528e+09);
INSERT INTO "records" VALUES('studio','shot-2','eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','{"prompt": "c"}','unknown','','{"newest": null}','nonce-2',NULL,NULL,1,1.79542803516738200186e+09);
CREATE TABLE turns (account TEXT PRIMARY KEY, holder TEXT NOT NULL);
CREATE UNIQUE INDEX records_job ON records (account, job_id) WHERE job_id IS NOT NULL;
CREATE INDEX records_open ON records (account, phase) WHERE phase <> 'accepted';
CREATE INDEX deliveries_job ON deliveries (account, job_id);
CREATE INDEX deliveries_age ON deliveries (touched_at);
COMMIT;
PRAGMA user_version = 1;
