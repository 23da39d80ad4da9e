using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace OmniID.Tests
{
    /// <summary>Progress, cancellation and threads.</summary>
    internal static class AsyncTests
    {
        public static IEnumerable<Test> All()
        {
            yield return new Test("async: encode reports progress", Progress);
            yield return new Test("async: cancelled before, during and by the listener", Cancellation);
            yield return new Test("async: several encodes at once give the same tokens", Parallel);
            yield return new Test("async: abandoned objects are freed by the collector", Abandoned);
        }

        private sealed class Recorder : IProgress<EncodeProgress>
        {
            public readonly List<EncodeProgress> Seen = new List<EncodeProgress>();
            public Action<EncodeProgress> Also;

            public void Report(EncodeProgress value)
            {
                Seen.Add(value);
                Also?.Invoke(value);
            }
        }

        private static void Progress()
        {
            var opened = new Recorder();
            using (Engine engine = Engine.OpenAsync(new EngineOptions { Checkpoint = Inputs.Model }, opened).Result)
            {
                Check.True(opened.Seen.Count > 0 && opened.Seen.All(p => p.Stage == Stage.Load), "progress of opening");
                var recorder = new Recorder();
                Photo[] photos = Enumerable.Range(1, 5).Select(i => Inputs.Pixels(i)).ToArray();
                var pairs = new EncodeOptions { BatchSize = 2 };
                using (Encoded encoded = engine.EncodeAsync(photos, pairs, recorder).Result)
                    Check.Equal(5, encoded.Identity.Info.Photos, "photos");
                EncodeProgress last = recorder.Seen.Last(p => p.Stage == Stage.Encode);
                Check.Equal(5L, last.Total, "total");
                Check.Equal(5L, last.Done, "done");
                Check.Equal(1.0, last.Fraction, "fraction");
                Check.True(recorder.Seen.Count(p => p.Stage == Stage.Encode) >= 3, "one message for each batch");
                using (Encoded result = engine.EncodeAsync(photos).Result)
                using (Identity extended = engine.ExtendAsync(result.Identity, photos).Result.Identity)
                using (engine.ConditionAsync(new[] { new ConditioningInput(extended) }).Result)
                    Check.Equal(10, extended.Info.Photos, "photos after extending");
            }
        }

        private static void Cancellation()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                Check.Throws<OperationCanceledException>(() =>
                    engine.Encode(Inputs.Photos(), cancellation: new CancellationToken(true)));
                Task<Encoded> never = engine.EncodeAsync(Inputs.Photos(), cancellation: new CancellationToken(true));
                Check.Throws<AggregateException>(() => never.Wait());
                Check.True(never.IsCanceled, "the task is not cancelled");

                using (var source = new CancellationTokenSource())
                {
                    var recorder = new Recorder { Also = p => source.Cancel() };
                    Task<Encoded> task = engine.EncodeAsync(Inputs.ManyPhotos(), null, recorder, source.Token);
                    Check.Throws<AggregateException>(() => task.Wait());
                    Check.True(task.IsCanceled, "the task is not cancelled");
                    Check.Equal(1, recorder.Seen.Count, "messages until the cancellation");
                }
                using (var source = new CancellationTokenSource())
                {
                    Task<Encoded> task = engine.EncodeAsync(Inputs.ManyPhotos(), null, null, source.Token);
                    source.CancelAfter(30);
                    var clock = Stopwatch.StartNew();
                    OperationCanceledException exception = null;
                    try
                    {
                        task.GetAwaiter().GetResult();
                    }
                    catch (OperationCanceledException caught)
                    {
                        exception = caught;
                    }
                    Check.True(exception != null && exception.CancellationToken == source.Token,
                        "not cancelled by the token");
                    Check.True(clock.ElapsedMilliseconds < 5000, $"cancelled after {clock.ElapsedMilliseconds} ms");
                }
                Check.SameBits(Inputs.Floats("tokens.bin"), engine.Encode(Inputs.Photos()).Identity.Tokens().ToArray(),
                    "tokens afterwards");
            }
        }

        private static void Parallel()
        {
            float[] expected = Inputs.Floats("tokens.bin");
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                Task<Encoded>[] tasks = Enumerable.Range(0, 16).Select(_ => engine.EncodeAsync(Inputs.Photos()))
                    .ToArray();
                foreach (Task<Encoded> task in tasks)
                    using (task.Result)
                        Check.SameBits(expected, task.Result.Identity.Tokens().ToArray(), "tokens");
            }
        }

        private static void Abandoned()
        {
            for (int round = 0; round < 20; round++)
            {
                Abandon();
                GC.Collect();
            }
            GC.WaitForPendingFinalizers();
        }

        private static void Abandon()
        {
            Engine engine = Engine.Open(Inputs.Model);
            Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity;
            engine.Condition(identity).Keys(0);
            identity.Tokens();
        }
    }
}
