//! What a trained model can and cannot do, in numbers.
//!
//! Every number stands beside a floor that knows nothing (an untrained encoder, histograms of gradients, mean colour)
//! and a ceiling (a published recogniser, the true picture).

mod descriptor;
mod detail;
mod generation;
mod image_error;
mod metric;
mod model;
mod progress;
mod report;
mod ssim;
mod subjects;
mod suite;
#[cfg(test)]
mod test_model;
mod token_statistics;
mod verification;
mod verifier;

pub use descriptor::{
    Centre, ColourDescriptor, Descriptor, HistogramDescriptor, HogDescriptor, PictureSet, SimilarityDescriptor,
    TokenDescriptor, VerifierDescriptor, HISTOGRAMS,
};
pub use detail::{detail, Detail};
pub use generation::{
    evaluate_generation, AngleResult, Difference, Drawn, DrawnResult, Example, GenerationOptions, GenerationReport,
    ANGLES, FRONTAL,
};
pub use image_error::{l1, psnr, Mask};
pub use metric::{Means, Metric, MetricEstimate, PersonMeans};
pub use model::EvaluatedModel;
pub use omniid::face::hog::hog;
pub use progress::{Progress, ProgressFn};
pub use report::{Evaluation, ModelName, FORMAT_VERSION};
pub use ssim::ssim;
pub use suite::{
    evaluate_people, Examples, PeopleReport, SuiteOptions, TestPeople, TokenRow, VerificationRow, SIMILARITY, TOKENS,
    UNTRAINED,
};
pub use token_statistics::TokenStatistics;
pub use verification::{images_of, verify, PersonImages, VerificationOptions, VerificationResult};
pub use verifier::{cosine, Embedding, Verifier, EMBEDDING};
