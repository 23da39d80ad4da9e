#nullable enable
using OmniID.Native;

namespace OmniID
{
    /// <summary>When during sampling an identity is injected.</summary>
    public readonly struct StepRange
    {
        private readonly StepUnit unit;

        private StepRange(StepUnit unit, double start, double end)
        {
            this.unit = unit;
            Start = start;
            End = end;
        }

        /// <summary>First sigma or fraction.</summary>
        public double Start { get; }

        /// <summary>Last sigma or fraction.</summary>
        public double End { get; }

        /// <summary>At every step.</summary>
        public static StepRange Always => default;

        /// <summary>While <paramref name="end"/> ≤ sigma ≤ <paramref name="start"/>.</summary>
        public static StepRange Sigma(double start, double end) => new StepRange(StepUnit.Sigma, start, end);

        /// <summary>While <paramref name="start"/> ≤ fraction ≤ <paramref name="end"/>, both within 0 to 1.</summary>
        public static StepRange Fraction(double start, double end) => new StepRange(StepUnit.Fraction, start, end);

        internal void Fill(ref NativeConditioningInput native)
        {
            native.StepRange = (int)unit;
            native.StepStart = Start;
            native.StepEnd = End;
        }
    }
}
