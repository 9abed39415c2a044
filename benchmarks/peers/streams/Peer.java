// The work on Kafka Streams, exactly_once_v2, one stream thread, in-memory store with a changelog, record cache off.
// Settings come from the environment, as in ../work.py; BENCH_AVRO=generic (GenericRecord, what most users have) or
// direct (written by hand field by field: the upper bound).
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;

import com.sun.management.OperatingSystemMXBean;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DatumReader;
import org.apache.avro.io.DatumWriter;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public class Peer {
    static final Schema ATTENDANCE = SchemaBuilder.record("Attendance").fields()
        .requiredString("event_id").requiredString("tenant").requiredLong("person").requiredLong("ts")
        .requiredDouble("lat").requiredDouble("lon").requiredDouble("face").requiredString("kind").endRecord();
    static final Schema PREDICTION = SchemaBuilder.record("Prediction").fields()
        .requiredString("event_id").requiredString("tenant").requiredLong("person").requiredLong("ts")
        .requiredString("model").requiredString("version").requiredDouble("score").requiredDouble("threshold")
        .requiredLong("count").requiredDouble("sum").requiredDouble("mean").requiredDouble("var")
        .requiredString("label").endRecord();
    static final Utf8 MODEL = new Utf8("attendance-anomaly-hst-ensemble-v3");
    static final Utf8 VERSION = new Utf8("2026-01-01");
    static final Utf8 LABEL = new Utf8("normal");

    static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault("BENCH_" + name, otherwise);
    }

    /** Prints, at the first event and at each quarter, the seconds and CPU seconds since the first event. */
    static class Meter {
        final OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        final long events = Long.parseLong(setting("EVENTS", "0"));
        long seen, started, cpu, quarter = 1;

        void begin() {
            if (seen == 0) {
                started = System.nanoTime();
                cpu = system.getProcessCpuTime();
                print();
            }
        }

        void add() {
            seen++;
            if (quarter <= 4 && events > 0 && seen >= Math.max(events * quarter / 4, 1)) {
                print();
                quarter++;
            }
        }

        void print() {
            System.out.printf("{\"events\": %d, \"seconds\": %.6f, \"cpu\": %.6f}%n", seen,
                (System.nanoTime() - started) / 1e9, (system.getProcessCpuTime() - cpu) / 1e9);
            System.out.flush();
        }
    }

    static class Score implements Processor<byte[], byte[], byte[], byte[]> {
        final boolean generic = setting("AVRO", "generic").equals("generic");
        final DatumReader<GenericRecord> reader = new GenericDatumReader<>(ATTENDANCE);
        final DatumWriter<GenericRecord> writer = new GenericDatumWriter<>(PREDICTION);
        final ByteArrayOutputStream out = new ByteArrayOutputStream(256);
        Utf8 idBuffer = new Utf8(), tenantBuffer = new Utf8(), kindBuffer = new Utf8();
        BinaryDecoder decoder;
        BinaryEncoder encoder;
        ProcessorContext<byte[], byte[]> context;
        KeyValueStore<byte[], byte[]> store;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            store = context.getStateStore("state");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            METER.begin();
            try {
                score(record);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            METER.add();
        }

        void score(Record<byte[], byte[]> record) throws IOException {
            CharSequence id, tenant;
            long person, ts;
            double lat, lon, x;
            decoder = DecoderFactory.get().binaryDecoder(record.value(), decoder);
            if (generic) {
                GenericRecord event = reader.read(null, decoder);
                id = (CharSequence) event.get("event_id");
                tenant = (CharSequence) event.get("tenant");
                person = (Long) event.get("person");
                ts = (Long) event.get("ts");
                lat = (Double) event.get("lat");
                lon = (Double) event.get("lon");
                x = (Double) event.get("face");
            } else {
                id = idBuffer = decoder.readString(idBuffer);
                tenant = tenantBuffer = decoder.readString(tenantBuffer);
                person = decoder.readLong();
                ts = decoder.readLong();
                lat = decoder.readDouble();
                lon = decoder.readDouble();
                x = decoder.readDouble();
                kindBuffer = decoder.readString(kindBuffer);
            }

            byte[] old = store.get(record.key());
            ByteBuffer state = ByteBuffer.allocate(96);
            if (old != null) {
                state.put(old);
            }
            long n = state.getLong(0) + 1;
            double sum = state.getDouble(8) + x;
            double mean = sum / n;
            double deviation = x - mean;
            double m2 = state.getDouble(16) + deviation * deviation;
            double level = 0.9 * state.getDouble(24) + 0.1 * x;
            state.putLong(0, n).putDouble(8, sum).putDouble(16, m2).putDouble(24, level)
                .putDouble(32, lat).putDouble(40, lon).putDouble(48, ts);
            store.put(record.key(), state.array());

            out.reset();
            encoder = EncoderFactory.get().binaryEncoder(out, encoder);
            if (generic) {
                GenericRecord prediction = new GenericData.Record(PREDICTION);
                prediction.put("event_id", id);
                prediction.put("tenant", tenant);
                prediction.put("person", person);
                prediction.put("ts", ts);
                prediction.put("model", MODEL);
                prediction.put("version", VERSION);
                prediction.put("score", Math.abs(x - level));
                prediction.put("threshold", 0.5);
                prediction.put("count", n);
                prediction.put("sum", sum);
                prediction.put("mean", mean);
                prediction.put("var", m2 / n);
                prediction.put("label", LABEL);
                writer.write(prediction, encoder);
            } else {
                encoder.writeString((Utf8) id);
                encoder.writeString((Utf8) tenant);
                encoder.writeLong(person);
                encoder.writeLong(ts);
                encoder.writeString(MODEL);
                encoder.writeString(VERSION);
                encoder.writeDouble(Math.abs(x - level));
                encoder.writeDouble(0.5);
                encoder.writeLong(n);
                encoder.writeDouble(sum);
                encoder.writeDouble(mean);
                encoder.writeDouble(m2 / n);
                encoder.writeString(LABEL);
            }
            encoder.flush();
            context.forward(record.withValue(out.toByteArray()));
        }
    }

    static final Meter METER = new Meter(); // one stream thread runs the processors of all partitions

    public static void main(String[] args) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", setting("BOOTSTRAP", "127.0.0.1:9092"));
        properties.put("application.id", setting("GROUP", "bench"));
        properties.put("state.dir", setting("STATE", "state"));
        properties.put("processing.guarantee", "exactly_once_v2");
        properties.put("num.stream.threads", "1");
        properties.put("replication.factor", "1");
        properties.put("commit.interval.ms", setting("COMMIT_MS", "100"));
        properties.put("auto.offset.reset", "earliest");
        properties.put("default.key.serde", Serdes.ByteArraySerde.class);
        properties.put("default.value.serde", Serdes.ByteArraySerde.class);

        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("state"),
            Serdes.ByteArray(), Serdes.ByteArray()).withCachingDisabled());
        builder.<byte[], byte[]>stream(setting("INPUT", "in")).process(Score::new, "state").to(setting("OUTPUT", "out"));

        KafkaStreams streams = new KafkaStreams(builder.build(), properties);
        streams.setUncaughtExceptionHandler(exception -> {
            exception.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
    }
}
