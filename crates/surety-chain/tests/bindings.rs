//! The transcribed bindings say what the committed artefacts say.

use std::collections::BTreeSet;

use alloy::{
    json_abi::JsonAbi,
    sol_types::{SolEvent, SolInterface},
};
use surety_chain::{artifacts, bindings::*};

/// Functions, errors and events of an interface as selectors.
fn check<C: SolInterface, E: SolInterface>(name: &str, events: &[[u8; 32]]) {
    let abi: &JsonAbi = &artifacts::get(name)
        .unwrap_or_else(|| panic!("artefact {name} is there"))
        .abi;
    let artefact: BTreeSet<[u8; 4]> = abi.functions().map(|f| f.selector().0).collect();
    for selector in C::selectors() {
        assert!(
            artefact.contains(&selector),
            "{name} has no function {selector:02x?}, which the bindings have"
        );
    }
    let errors: BTreeSet<[u8; 4]> = abi.errors().map(|e| e.selector().0).collect();
    for error in abi.errors() {
        // Libraries' errors are not in the interface.
        let bound = E::selectors().any(|s| s == error.selector().0);
        let known = artifacts::names()
            .any(|n| artifacts::get(n).is_some_and(|a| a.abi.errors().any(|e| e.selector() == error.selector())));
        assert!(bound || known, "{name}: error {} is in no binding", error.signature());
    }
    assert!(
        !errors.is_empty() || E::selectors().count() == 0 || name == "Registry",
        "{name}"
    );
    let artefact_events: BTreeSet<[u8; 32]> = abi.events().map(|e| e.selector().0).collect();
    for event in events {
        assert!(artefact_events.contains(event), "{name} lacks an event of the bindings");
    }
    assert_eq!(
        artefact_events.len(),
        events.len(),
        "{name} has events that the bindings lack"
    );
}

/// Which parameters are indexed is in no selector.
fn indexed<E: SolEvent>(name: &str) {
    let abi = &artifacts::get(name).expect("artefact").abi;
    let event = abi.events().find(|e| e.selector() == E::SIGNATURE_HASH).expect("event");
    let count = event.inputs.iter().filter(|i| i.indexed).count();
    assert_eq!(
        count + 1,
        <E::TopicList as alloy::sol_types::TopicList>::COUNT,
        "{}: indexed parameters",
        E::SIGNATURE
    );
}

macro_rules! contract {
    ($test:ident, $name:literal, $calls:path, $errors:path, [$($event:ty),*]) => {
        #[test]
        fn $test() {
            check::<$calls, $errors>($name, &[$(<$event>::SIGNATURE_HASH.0),*]);
            $(indexed::<$event>($name);)*
        }
    };
}

contract!(
    registry,
    "Registry",
    IRegistry::IRegistryCalls,
    IRegistry::IRegistryErrors,
    [
        IRegistry::ServiceRegistered,
        IRegistry::ManifestSet,
        IRegistry::ProgramSet,
        IRegistry::OperatorRegistered,
        IRegistry::EndpointSet,
        IRegistry::KeysSet,
        IRegistry::HostSet
    ]
);
contract!(
    staking,
    "Staking",
    IStaking::IStakingCalls,
    IStaking::IStakingErrors,
    [
        IStaking::Deposited,
        IStaking::Leaving,
        IStaking::BondWithdrawn,
        IStaking::RewardWithdrawn,
        IStaking::Slashed,
        IStaking::Burnt,
        IStaking::Rewarded,
        IStaking::Credited,
        IStaking::Withdrawn
    ]
);
contract!(
    disputes,
    "Disputes",
    IDisputes::IDisputesCalls,
    IDisputes::IDisputesErrors,
    [
        IDisputes::Opened,
        IDisputes::Claimed,
        IDisputes::MatchStarted,
        IDisputes::Dissected,
        IDisputes::Stepped,
        IDisputes::Expired,
        IDisputes::Decided,
        IDisputes::Eliminated,
        IDisputes::Settled
    ]
);
contract!(
    preimages,
    "Preimages",
    IPreimages::IPreimagesCalls,
    IPreimages::IPreimagesErrors,
    [IPreimages::Shown]
);
contract!(
    service,
    "Service",
    IService::IServiceCalls,
    IService::IServiceErrors,
    [IService::Request, IService::Responded]
);

#[test]
fn machine() {
    let abi = &artifacts::get("Machine").expect("artefact").abi;
    let artefact: BTreeSet<[u8; 4]> = abi.functions().map(|f| f.selector().0).collect();
    for selector in IMachine::IMachineCalls::selectors() {
        assert!(artefact.contains(&selector));
    }
}

/// Every view function returns what the bindings decode.
#[test]
fn return_types() {
    use alloy::sol_types::{SolCall, SolStruct};
    fn returns<C: SolCall>(name: &str) {
        let abi = &artifacts::get(name).expect("artefact").abi;
        let function = abi
            .functions()
            .find(|f| f.selector().0 == C::SELECTOR)
            .expect("function");
        let types: Vec<String> = function
            .outputs
            .iter()
            .map(|o| o.selector_type().into_owned())
            .collect();
        let mut bound = <C::ReturnTuple<'_> as alloy::sol_types::SolType>::SOL_NAME.to_owned();
        // The name of a struct, as the types of its fields.
        for root in [
            ServiceParameters::eip712_root_type(),
            Stake::eip712_root_type(),
            IDisputes::View::eip712_root_type(),
        ] {
            let (name, fields) = root.split_once('(').expect("Name(type name,...)");
            let types: Vec<&str> = fields.split(',').filter_map(|f| f.split(' ').next()).collect();
            bound = bound.replace(name, &format!("({})", types.join(",")));
        }
        assert_eq!(format!("({})", types.join(",")), bound, "{}", C::SIGNATURE);
    }
    returns::<IRegistry::serviceOfCall>("Registry");
    returns::<IRegistry::operatorOfCall>("Registry");
    returns::<IRegistry::programOfCall>("Registry");
    returns::<IRegistry::servicesCall>("Registry");
    returns::<IRegistry::chainIdOfCall>("Registry");
    returns::<IStaking::stakeOfCall>("Staking");
    returns::<IStaking::isBondedCall>("Staking");
    returns::<IStaking::operatorsOfCall>("Staking");
    returns::<IStaking::creditOfCall>("Staking");
    returns::<IStaking::burntCall>("Staking");
    returns::<IDisputes::getCall>("Disputes");
    returns::<IDisputes::operatorAtCall>("Disputes");
    returns::<IDisputes::signerOfCall>("Disputes");
    returns::<IMachine::stepCall>("Machine");
    returns::<IPreimages::wordCall>("Preimages");
}

/// A custom error is shown with its name and values.
#[test]
fn reverts_are_readable() {
    use alloy::{primitives::Address, sol_types::SolError};
    let error = IDisputes::AlreadyClaimed {
        operator: Address::repeat_byte(0x11),
    };
    let revert = surety_chain::Revert::new(error.abi_encode().into());
    assert_eq!(
        revert.to_string(),
        "AlreadyClaimed(operator: 0x1111111111111111111111111111111111111111)"
    );
    assert!(revert.is::<IDisputes::AlreadyClaimed>());
    assert_eq!(
        surety_chain::Revert::new(vec![1, 2].into()).to_string(),
        "reverted without a reason"
    );
    assert_eq!(
        surety_chain::Revert::new(vec![1, 2, 3, 4].into()).to_string(),
        "unknown error 0x01020304"
    );
}
contract!(
    quorum,
    "Quorum",
    IQuorum::IQuorumCalls,
    IQuorum::IQuorumErrors,
    [IQuorum::SetFixed, IQuorum::SizeSet]
);
contract!(
    records,
    "Records",
    IRecords::IRecordsCalls,
    IRecords::IRecordsErrors,
    [IRecords::Recorded, IRecords::Absent, IRecords::Incident]
);
contract!(
    terms,
    "Terms",
    ITerms::ITermsCalls,
    ITerms::ITermsErrors,
    [ITerms::TermsSet, ITerms::PriceSet]
);
contract!(
    tasks,
    "Tasks",
    ITasks::ITasksCalls,
    ITasks::ITasksErrors,
    [
        ITasks::Deposited,
        ITasks::Withdrawn,
        ITasks::FlowCreated,
        ITasks::FlowDeleted,
        ITasks::EventCertified,
        ITasks::RunStarted,
        ITasks::Requested,
        ITasks::RandomnessPinned,
        ITasks::Settled,
        ITasks::RunClosed,
        ITasks::Earned,
        ITasks::SignersEarned,
        ITasks::Claimed
    ]
);
contract!(
    faults,
    "Faults",
    IFaults::IFaultsCalls,
    IFaults::IFaultsErrors,
    [IFaults::Reported, IFaults::Punished]
);
contract!(
    issuance,
    "Issuance",
    IIssuance::IIssuanceCalls,
    IIssuance::IIssuanceErrors,
    [IIssuance::Recorded, IIssuance::Minted]
);
contract!(
    integrity,
    "Integrity",
    IIntegrity::IIntegrityCalls,
    IIntegrity::IIntegrityErrors,
    [
        IIntegrity::PlanSet,
        IIntegrity::DeploymentRequested,
        IIntegrity::BaselineRecorded,
        IIntegrity::EpochRecorded,
        IIntegrity::DriftRecorded,
        IIntegrity::Ended,
        IIntegrity::Punished,
        IIntegrity::Funded,
        IIntegrity::Refunded,
        IIntegrity::Earned,
        IIntegrity::Withdrawn,
        IIntegrity::QuoteRegistered
    ]
);
