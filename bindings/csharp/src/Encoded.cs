#nullable enable
using System;
using System.Collections.Generic;
using OmniID.Native;

namespace OmniID
{
    /// <summary>What encoding gives: an identity, and what became of each photo handed in.</summary>
    public sealed class Encoded : IDisposable
    {
        private Encoded(Identity identity, IReadOnlyList<PhotoReport> photos)
        {
            Identity = identity;
            Photos = photos;
        }

        /// <summary>The identity of all photos that could be used.</summary>
        public Identity Identity { get; }

        /// <summary>What became of each photo, in the order in which they were given.</summary>
        public IReadOnlyList<PhotoReport> Photos { get; }

        /// <summary><c>var (identity, photos) = engine.Encode(files);</c></summary>
        public void Deconstruct(out Identity identity, out IReadOnlyList<PhotoReport> photos)
        {
            identity = Identity;
            photos = Photos;
        }

        /// <summary>Frees the identity.</summary>
        public void Dispose()
        {
            Identity.Dispose();
        }

        /// <summary>Takes over the handles of an identity and of a report.</summary>
        internal static Encoded Take(IntPtr identity, IntPtr report)
        {
            IReadOnlyList<PhotoReport> reports;
            try
            {
                reports = PhotoReport.Take(report);
            }
            catch
            {
                NativeMethods.omniid_identity_free(identity);
                throw;
            }
            return new Encoded(new Identity(identity), reports);
        }
    }
}
