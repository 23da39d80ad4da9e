using System;
using System.Collections.Generic;
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

    /// <summary>One identity to condition on. What is not set has the library's default.</summary>
    public sealed class ConditionInput
    {
        private ReadOnlyMemory<float> mask;
        private int maskWidth;
        private int maskHeight;

        /// <summary>Conditions on an identity everywhere, at every step, with weight 1.</summary>
        public ConditionInput(Identity identity)
        {
            Identity = identity ?? throw new ArgumentNullException(nameof(identity));
        }

        /// <summary>Who.</summary>
        public Identity Identity { get; }

        /// <summary>Weight of the identity; 0 leaves it out.</summary>
        public float Scale { get; set; } = 1f;

        /// <summary>When during sampling.</summary>
        public StepRange Steps { get; set; }

        /// <summary>What unconditional rows see instead.</summary>
        public Unconditional Unconditional { get; set; }

        /// <summary>An identity that unconditional rows see instead; overrides <see cref="Unconditional"/>.</summary>
        public Identity Negative { get; set; }

        /// <summary>A second identity for the composition layers of the weight types "style and composition".</summary>
        public Identity Composition { get; set; }

        /// <summary>Limits the identity to a part of the picture. The library copies the mask.</summary>
        /// <param name="values">Rows from top to bottom, values from 0 to 1.</param>
        /// <param name="width">Columns.</param>
        /// <param name="height">Rows.</param>
        public void SetMask(ReadOnlyMemory<float> values, int width, int height)
        {
            if (width <= 0)
                throw new ArgumentOutOfRangeException(nameof(width), width, "Must be positive.");
            if (height <= 0)
                throw new ArgumentOutOfRangeException(nameof(height), height, "Must be positive.");
            if (values.Length != (long)width * height)
                throw new ArgumentException($"A mask of {width} x {height} has {(long)width * height} values, not {values.Length}.", nameof(values));
            mask = values;
            maskWidth = width;
            maskHeight = height;
        }

        internal unsafe NativeConditioningInput ToNative(Pins pins)
        {
            NativeConditioningInput native = NativeConditioningInput.Create();
            native.Scale = Scale;
            native.Identity = pins.Handle(Identity.Handle, nameof(OmniID.Identity));
            native.Mask = (float*)pins.Memory(mask);
            native.MaskWidth = (uint)maskWidth;
            native.MaskHeight = (uint)maskHeight;
            native.Unconditional = (int)Unconditional;
            Steps.Fill(ref native);
            if (Negative != null)
                native.Negative = pins.Handle(Negative.Handle, nameof(OmniID.Identity));
            if (Composition != null)
                native.Composition = pins.Handle(Composition.Handle, nameof(OmniID.Identity));
            return native;
        }
    }

    /// <summary>What holds for all identities of a conditioning. What is not set has the library's default.</summary>
    public sealed class ConditionOptions
    {
        /// <summary>How weights are spread over the layers.</summary>
        public WeightType WeightType { get; set; }

        /// <summary>One more factor for each layer of the host, in the order of its table. Default: 1 everywhere.</summary>
        public float[] LayerScales { get; set; }

        /// <summary>How the weight acts on keys and values.</summary>
        public EmbedsScaling EmbedsScaling { get; set; }

        /// <summary>Whose way of placing masks is followed.</summary>
        public MaskMode MaskMode { get; set; }

        /// <summary>Number type of the stored keys and values.</summary>
        public Precision Precision { get; set; }

        /// <summary>Weight of the composition layers of the weight types "style and composition".</summary>
        public float? CompositionScale { get; set; }

        /// <summary>Weight of the swapped layers of "style transfer precise".</summary>
        public float? StyleBoost { get; set; }

        /// <summary>Weight of the swapped layers of "composition precise".</summary>
        public float? CompositionBoost { get; set; }

        internal unsafe NativeConditioningOptions ToNative(Pins pins)
        {
            NativeConditioningOptions native = NativeConditioningOptions.Create();
            native.WeightType = (int)WeightType;
            native.LayerScales = (float*)pins.Array(LayerScales);
            native.LayerScaleCount = (UIntPtr)(LayerScales?.Length ?? 0);
            native.EmbedsScaling = (int)EmbedsScaling;
            native.MaskMode = (int)MaskMode;
            native.Precision = (int)Precision;
            native.CompositionScale = Number(pins, CompositionScale);
            native.StyleBoost = Number(pins, StyleBoost);
            native.CompositionBoost = Number(pins, CompositionBoost);
            return native;
        }

        private static unsafe float* Number(Pins pins, float? value)
        {
            return (float*)pins.Array(value.HasValue ? new[] { value.Value } : null);
        }
    }
}
