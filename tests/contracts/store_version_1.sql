BEGIN TRANSACTION;
CREATE TABLE active_orders (
        user_id INTEGER NOT NULL, order_id INTEGER NOT NULL, cid TEXT NOT NULL, symbol TEXT NOT NULL,
        side INTEGER NOT NULL, order_type INTEGER NOT NULL, time_in_force INTEGER NOT NULL, status INTEGER NOT NULL,
        price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL, filled_lots INTEGER NOT NULL,
        filled_tick_lots INTEGER NOT NULL, code INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, order_id)) WITHOUT ROWID;
INSERT INTO "active_orders" VALUES(1001,1,'cid-1','BTC_USDT',2,1,1,1,5000000,10,0,0,0,1001,1001);
CREATE TABLE api_keys (
        api_key TEXT NOT NULL, user_id INTEGER NOT NULL, secret_encrypted BLOB NOT NULL, scopes TEXT NOT NULL,
        created_ms INTEGER NOT NULL, revoked INTEGER NOT NULL,
        PRIMARY KEY (api_key)) WITHOUT ROWID;
INSERT INTO "api_keys" VALUES('key-1',1001,X'00FF8020736563726574','["read","trade"]',1000,0);
CREATE TABLE balance_ledger (
        user_id INTEGER NOT NULL, asset_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        available_delta INTEGER NOT NULL, reserved_delta INTEGER NOT NULL, available INTEGER NOT NULL,
        reserved INTEGER NOT NULL, reference TEXT NOT NULL, event_id TEXT NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, asset_id, seq)) WITHOUT ROWID;
INSERT INTO "balance_ledger" VALUES(1001,'BTC',1,'Deposit',100,0,100,0,'t-1','deposit_1001_BTC_1',1000);
CREATE TABLE order_history (
        user_id INTEGER NOT NULL, order_id INTEGER NOT NULL, cid TEXT NOT NULL, symbol TEXT NOT NULL,
        side INTEGER NOT NULL, order_type INTEGER NOT NULL, time_in_force INTEGER NOT NULL, status INTEGER NOT NULL,
        price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL, filled_lots INTEGER NOT NULL,
        filled_tick_lots INTEGER NOT NULL, code INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, created_ms, order_id)) WITHOUT ROWID;
INSERT INTO "order_history" VALUES(1001,1,'cid-1','BTC_USDT',2,1,1,1,5000000,10,0,0,0,1001,1001);
INSERT INTO "order_history" VALUES(1001,2,'cid-2','BTC_USDT',2,1,1,5,5000000,10,0,0,401,1002,1002);
CREATE TABLE order_statistics (
        user_id INTEGER NOT NULL, shard INTEGER NOT NULL, new INTEGER NOT NULL, filled INTEGER NOT NULL,
        cancelled INTEGER NOT NULL, rejected INTEGER NOT NULL, expired INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, shard)) WITHOUT ROWID;
INSERT INTO "order_statistics" VALUES(1001,-2,0,0,0,1,0,1000);
INSERT INTO "order_statistics" VALUES(1001,0,1,0,0,0,0,1000);
INSERT INTO "order_statistics" VALUES(1002,0,1,1,0,0,0,1000);
CREATE TABLE order_updates_stream (
        source TEXT NOT NULL, sequence INTEGER NOT NULL, part INTEGER NOT NULL, user_id INTEGER NOT NULL,
        order_id INTEGER NOT NULL, symbol TEXT NOT NULL, status INTEGER NOT NULL, filled_lots INTEGER NOT NULL,
        last_price_ticks INTEGER NOT NULL, last_quantity_lots INTEGER NOT NULL, trade_id INTEGER NOT NULL,
        is_maker INTEGER NOT NULL, code INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (source, sequence, part)) WITHOUT ROWID;
INSERT INTO "order_updates_stream" VALUES('matcher-0',3,0,1001,1,'BTC_USDT',1,3,5000000,3,9,1,0,1000);
INSERT INTO "order_updates_stream" VALUES('matcher-0',5,0,1002,9,'BTC_USDT',1,3,5000000,3,9,1,0,1000);
INSERT INTO "order_updates_stream" VALUES('matcher-0',6,1,1002,9,'BTC_USDT',3,3,5000000,3,9,1,0,1000);
INSERT INTO "order_updates_stream" VALUES('matcher-0',7,0,1001,1,'BTC_USDT',2,3,5000000,3,9,1,0,1000);
INSERT INTO "order_updates_stream" VALUES('ubscore-1',11,0,1001,2,'BTC_USDT',5,3,5000000,3,9,1,0,1000);
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(1);
CREATE TABLE settled_trades (
        symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL,
        base_amount INTEGER NOT NULL, quote_amount INTEGER NOT NULL, buyer_user_id INTEGER NOT NULL,
        seller_user_id INTEGER NOT NULL, buyer_order_id INTEGER NOT NULL, seller_order_id INTEGER NOT NULL,
        buyer_fee INTEGER NOT NULL, seller_fee INTEGER NOT NULL, buyer_is_maker INTEGER NOT NULL,
        matcher_shard INTEGER NOT NULL, engine_sequence INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (symbol, trade_id)) WITHOUT ROWID;
INSERT INTO "settled_trades" VALUES('BTC_USDT',1,5000000,10,1000,50000,1001,1002,1,2,1,50,1,0,7,1000);
CREATE TABLE settlement_progress (
        reader TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        sequences TEXT NOT NULL,
        PRIMARY KEY (reader, topic, partition)) WITHOUT ROWID;
INSERT INTO "settlement_progress" VALUES('order_history','engine.outputs',0,2,'{"matcher-0":20}');
INSERT INTO "settlement_progress" VALUES('settlement','balance.events',0,3,'{"ubscore-0":30}');
CREATE TABLE user_balances (
        user_id INTEGER NOT NULL, asset_id TEXT NOT NULL, available INTEGER NOT NULL, reserved INTEGER NOT NULL,
        version INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, asset_id)) WITHOUT ROWID;
INSERT INTO "user_balances" VALUES(1001,'BTC',100,1,1,1000);
CREATE INDEX settled_trades_by_buyer ON settled_trades (buyer_user_id, time_ms);
CREATE INDEX settled_trades_by_seller ON settled_trades (seller_user_id, time_ms);
CREATE INDEX order_history_by_order_id ON order_history (order_id);
CREATE INDEX order_history_by_cid ON order_history (user_id, cid);
CREATE INDEX order_updates_stream_by_order ON order_updates_stream (order_id);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_ms);
COMMIT;
