CREATE TABLE records (
	id INTEGER NOT NULL, 
	tenant TEXT NOT NULL, 
	project TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	trace TEXT NOT NULL, 
	at INTEGER NOT NULL, 
	door TEXT NOT NULL, 
	asked TEXT NOT NULL, 
	policy TEXT NOT NULL, 
	model TEXT NOT NULL, 
	why TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	error TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	input INTEGER NOT NULL, 
	output INTEGER NOT NULL, 
	cached INTEGER NOT NULL, 
	cache_write INTEGER NOT NULL, 
	reasoning INTEGER NOT NULL, 
	estimated BOOLEAN NOT NULL, 
	cost INTEGER, 
	first_ms FLOAT, 
	total_ms FLOAT NOT NULL, 
	stream BOOLEAN NOT NULL, 
	degraded TEXT NOT NULL, 
	data_class TEXT, 
	PRIMARY KEY (id)
)

CREATE INDEX records_trace ON records (trace)

CREATE INDEX records_tenant ON records (tenant, id)

CREATE TABLE attempts (
	record INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	tenant TEXT NOT NULL, 
	trace TEXT NOT NULL, 
	model TEXT NOT NULL, 
	place TEXT NOT NULL, 
	result TEXT NOT NULL, 
	why TEXT NOT NULL, 
	began_ms FLOAT NOT NULL, 
	first_ms FLOAT, 
	ended_ms FLOAT NOT NULL, 
	input INTEGER NOT NULL, 
	output INTEGER NOT NULL, 
	cached INTEGER NOT NULL, 
	cache_write INTEGER NOT NULL, 
	reasoning INTEGER NOT NULL, 
	estimated BOOLEAN NOT NULL, 
	cost INTEGER, 
	error TEXT NOT NULL, 
	score FLOAT, 
	PRIMARY KEY (record, number)
)
 WITHOUT ROWID
