#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>One identity to condition on. Properties that are not set have the library's defaults.</summary>
    public sealed class ConditioningInput
    {
        private ReadOnlyMemory<float> mask;
        private int maskWidth;
        private int maskHeight;

        /// <summary>Conditions on an identity everywhere, at every step, with weight 1.</summary>
        public ConditioningInput(Identity identity)
        {
            Identity = identity ?? throw new ArgumentNullException(nameof(identity));
        }

        /// <summary>The identity.</summary>
        public Identity Identity { get; }

        /// <summary>Weight of the identity; 0 leaves it out.</summary>
        public float Scale { get; set; } = 1f;

        /// <summary>When during sampling.</summary>
        public StepRange Steps { get; set; }

        /// <summary>What unconditional rows see instead.</summary>
        public Unconditional Unconditional { get; set; }

        /// <summary>An identity that unconditional rows see instead; overrides <see cref="Unconditional"/>.</summary>
        public Identity? Negative { get; set; }

        /// <summary>A second identity for the composition layers of the weight types "style and composition".</summary>
        public Identity? Composition { get; set; }

        /// <summary>Limits the identity to a part of the picture. The library copies the mask.</summary>
        /// <param name="values">Rows from top to bottom, values from 0 to 1.</param>
        /// <param name="width">Columns.</param>
        /// <param name="height">Rows.</param>
        public void SetMask(ReadOnlyMemory<float> values, int width, int height)
        {
            PictureSize.CheckValues("A mask", values, width, height);
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
}
