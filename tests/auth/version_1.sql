CREATE TABLE keys (
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	project TEXT NOT NULL, 
	name TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	may TEXT NOT NULL, 
	data_class TEXT, 
	created INTEGER NOT NULL, 
	expires INTEGER, 
	revoked INTEGER, 
	PRIMARY KEY (id)
)

CREATE UNIQUE INDEX keys_digest ON keys (digest)

CREATE TABLE key_versions (
	tenant TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (tenant)
)
